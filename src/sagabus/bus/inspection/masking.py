"""What people get to see of messages and states: each by the class that this bus, or a command, knows for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar, cast, overload

import msgspec

from sagabus.bus.views import SagaRecord, Transition
from sagabus.codec.masks import HIDDEN, Mask, Masked, plain_of
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import declared
from sagabus.definitions.saga import Saga, SagaDefinition
from sagabus.envelope import DeadLetter
from sagabus.errors import MessageInvalid, SagaBusError, StateInvalid
from sagabus.text import Values

__all__ = ["WITH_VALUES", "Masks", "discreet"]

WITH_VALUES = ("dead-letter.edit", "saga.")
"""How the verbs of the audit log begin whose entries have values of messages or states."""


E = TypeVar("E", bound=SagaBusError)


def discreet(error: E, values: Values) -> E:
    """An error about a message or a state that cannot be read, without values that its text repeats."""
    if not isinstance(error, MessageInvalid | StateInvalid):
        return error
    what, path, reason = error.args
    return type(error)(what, values.left_out(path), values.left_out(reason))


class Masks:
    """The masks of what some definitions declare. Of everything else, only the names of fields are shown."""

    def __init__(self, definitions: Iterable[HandlerDefinition | SagaDefinition]) -> None:
        self._definitions = {each.name: each for each in definitions}
        self._made: dict[type[object] | None, Mask] = {}

    def of_letter(self, letter: DeadLetter) -> Mask:
        """The mask of the body of a dead letter. If its row cannot be read, the body holds the row."""
        mask = self.of_message(letter.envelope.channel, letter.envelope.message_type)
        return mask if letter.envelope.damage is None or mask.shows_all else self._of_class(None)

    def of_message(self, subscription: str, message_type: str) -> Mask:
        """The mask of the bodies of a message, as a subscription receives it, or else any other one."""
        receiver = self._definitions.get(subscription)
        for each in (*([] if receiver is None else [receiver]), *self._definitions.values()):
            for reaction in each.reactions.get(message_type, ()):
                return self._of_class(declared(reaction).cls)
        return self._of_class(None)

    def of_state(self, saga: type[Saga] | str) -> Mask:
        """The mask of the states of a saga."""
        if isinstance(saga, type):
            return self._of_class(saga)
        definition = self._definitions.get(saga)
        return self._of_class(definition.cls if isinstance(definition, SagaDefinition) else None)

    def _of_class(self, cls: type[object] | None) -> Mask:
        found = self._made.get(cls)
        if found is None:
            found = self._made[cls] = Mask(cls)
        return found

    @overload
    def over(self, record: DeadLetter) -> DeadLetter: ...
    @overload
    def over(self, record: SagaRecord[Any]) -> SagaRecord[Any]: ...
    @overload
    def over(self, record: Transition) -> Transition: ...
    def over(self, record: DeadLetter | SagaRecord[Any] | Transition) -> DeadLetter | SagaRecord[Any] | Transition:
        """The same record without what is hidden. A state is then data, and no object of its class."""
        if isinstance(record, DeadLetter):
            body = self.of_letter(record).over_text(record.envelope.body).value
            return msgspec.structs.replace(record, envelope=msgspec.structs.replace(record.envelope, body=body))
        if isinstance(record, SagaRecord) and record.error is not None:
            mask = self._mask_of(record)
            record = replace(record, error=discreet(record.error, Values(mask.hidden_values(record.state))))
        return replace(record, state=self.over_state(record).value)

    def over_state(self, record: SagaRecord[Any] | Transition) -> Masked:
        """What is shown of the state of a record, and where something is left out."""
        state = record.state
        return self._mask_of(record).over(plain_of(state) if isinstance(state, Saga) else state)

    def _mask_of(self, record: SagaRecord[Any] | Transition) -> Mask:
        if isinstance(record.state, Saga):
            return self.of_state(type(record.state))
        mask = self.of_state(record.saga)
        if getattr(record, "error", None) is not None and not mask.shows_all:
            return self._of_class(None)  # of a row that cannot be read, the state holds all of it
        return mask

    def over_change(self, verb: str, subscription: str, value: Any) -> Any:
        """What is shown of one side of an entry of the audit log."""
        if value is None or not verb.startswith(WITH_VALUES):
            return value
        if not isinstance(value, dict):
            return HIDDEN
        shown = dict(cast("dict[str, Any]", value))
        if "fields" in shown:
            shown["fields"] = self.of_state(subscription).over(shown["fields"]).value
        if "body" in shown:
            mask = self.of_message(subscription, str(shown.get("message_type")))
            shown["body"] = cast(bytes, mask.over_text(str(shown["body"]).encode()).value).decode()
        return shown
