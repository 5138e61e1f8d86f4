"""The one place where an error becomes a record: what is stored, logged and shown of it is decided here.

Previous stop: `recoverability`, with an error. The text of an error may repeat what its message or its saga holds. So
values of hidden fields are left out, and what `Settings.redact` leaves out as well. Only failures pay for it.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, cast

from sagabus.codec.masks import Mask, plain_of
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import declared
from sagabus.definitions.saga import SagaDefinition
from sagabus.envelope import Envelope
from sagabus.outcome import Failure
from sagabus.policies.retry import leaves
from sagabus.text import Values, discreet

__all__ = ["FailureTexts"]

Definition: TypeAlias = HandlerDefinition | SagaDefinition
Redact: TypeAlias = Callable[[str], str]
ClassOf: TypeAlias = Callable[[str], type[object] | None]

log = logging.getLogger("sagabus")

LONGEST_TEXT = 2_000
_LONGEST_TRACEBACK = 20_000
_FRAME = re.compile(r'[\s|+-]*File "[^"\n]*", line \d+')
_NO_VALUES = Values(())


class FailureTexts:
    """Makes the records of errors for one bus."""

    def __init__(self, redact: Redact | None = None, class_of: ClassOf | None = None) -> None:
        """`class_of`: of a message that no reaction of its subscription declares; None if nothing knows its class."""
        self._redact, self._class_of = redact, class_of
        self._masks: dict[type[object] | None, Mask] = {}

    def of_run(
        self, definition: Definition, envelope: Envelope, error: BaseException, seen: Sequence[object] = ()
    ) -> Failure:
        """The record of what a run has raised. `seen`: what else its code had at hand, such as the state of its saga:
        objects, or JSON of the saga's class.
        """
        try:
            values = Values(self._hidden_values(definition, envelope, seen))
        except Exception as problem:  # noqa: BLE001  # of a class as nobody has thought of
            log.warning("what %s hides cannot be read: %s", envelope.message_type, type(problem).__name__)
            return Failure(_name(error), "")
        return self._record(error, values)

    def of_library(self, error: BaseException) -> Failure:
        """The record of an error of the library itself, which repeats no value."""
        return self._record(error, _NO_VALUES)

    def _record(self, error: BaseException, values: Values) -> Failure:
        first = next(leaves(error), error)
        name = _name(error)
        text = _text(error) if first is error else f"{_text(error)}: {type(first).__qualname__}: {_text(first)}"
        # Before anything is cut: of a value that is cut, the rest would not be found.
        parts = [*map(discreet, traceback.TracebackException.from_exception(error, capture_locals=False).format())]
        values = values.among([text, *parts])
        text, shown = values.left_out(text), "".join(_without(part, values) for part in parts)
        if self._redact is not None:
            try:
                text, shown = _checked(self._redact(text)), _checked(self._redact(shown))
            except Exception as problem:  # noqa: BLE001  # a hook of the user's must not cost the failure itself
                log.warning("Settings.redact failed, so the text of a %s is left out: %s", name, type(problem).__name__)
                text = shown = ""
        return Failure(name, _storable(text)[:LONGEST_TEXT], _storable(shown)[-_LONGEST_TRACEBACK:])

    def _hidden_values(self, definition: Definition, envelope: Envelope, seen: Sequence[object]) -> Iterator[object]:
        yield from self._mask(self._declared(definition, envelope.message_type)).hidden_values_of_text(envelope.body)
        for each in seen:
            if isinstance(each, bytes):
                mask = self._mask(definition.cls if isinstance(definition, SagaDefinition) else None)
                yield from mask.hidden_values_of_text(each)
            else:
                mask = self._mask(type(each))
                if not mask.shows_all:
                    yield from mask.hidden_values(_plain(each))

    def _declared(self, definition: Definition, message_type: str) -> type[object] | None:
        for reaction in definition.reactions.get(message_type, ()):
            return declared(reaction).cls
        return None if self._class_of is None else self._class_of(message_type)

    def _mask(self, cls: type[object] | None) -> Mask:
        found = self._masks.get(cls)
        if found is None:
            found = self._masks[cls] = Mask(cls)
        return found


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _plain(value: object) -> object:
    """As JSON data. A run that has failed may have left in a state what JSON has no form for."""
    try:
        return plain_of(value)
    except Exception:  # noqa: BLE001  # whatever user code has assigned
        fields = cast("dict[str, object]", getattr(value, "__dict__", {}))
        return {name: _plain_part(part) for name, part in fields.items()}


def _plain_part(value: object) -> object:
    try:
        return plain_of(value)
    except Exception:  # noqa: BLE001  # the same
        return None


def _without(part: str, values: Values) -> str:
    """A part of a traceback. Its frames are code, so they hold no value of a message."""
    return part if _FRAME.match(part) else values.left_out(part)


def _text(error: BaseException) -> str:
    try:
        return discreet(str(error))
    except Exception:  # noqa: BLE001  # a broken __str__ of the user's must not hide the failure
        return "(its text cannot be read)"


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"it returned {type(text).__qualname__}, not a str")
    return text


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "�")
