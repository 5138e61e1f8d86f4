"""Saga states as JSON bytes, by the same rules as messages, and states of other releases brought to this one.

Between `views` or `processing` and the store. A state of the same shape takes one decoder call; all else is the slow
way, which each instance takes once after a deployment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

import msgspec
from msgspec import inspect as reflection

from sagabus.codec.form import Form, Rules, Writer, native_form
from sagabus.codec.json_text import explain, plain
from sagabus.codec.shape import CARRIES, described, mapping_of, shape_text, unknown_part, version_of
from sagabus.errors import StateInvalid, StateTooLarge, StateTooNew
from sagabus.evolution import UNCHANGED, Evolution

__all__ = ["Carried", "ReadState", "StateCodec"]

T = TypeVar("T")
Carried = Mapping[str, msgspec.Raw]
"""Fields of another release, by name, as they are stored."""


class ReadState(NamedTuple, Generic[T]):
    """A state, and what its class does not know of what is stored."""

    state: T
    carried: Carried | None


StateWriter: TypeAlias = Callable[[T, Carried | None], tuple[bytes, T | None, str]]


@dataclass(frozen=True, slots=True)
class _StateForm:
    form: Form
    write: Writer
    width: int
    """How many fields it has, where their types alone say that a state comes back equal."""
    shape: str
    evolution: Evolution
    fields: Mapping[str, reflection.Type]


class StateCodec:
    """Saga state to bytes and back, by the same rules as messages. States are not sent, so the limit is wider."""

    __slots__ = ("_forms", "_rules", "_writers", "rereads")

    def __init__(self, max_size: int = 1_048_576, max_depth: int = 32, *, rereads: bool = False) -> None:
        self.rereads = rereads
        """Whether each run gets a state that was decoded from its bytes, as after a restart: for tests."""
        self._rules = Rules(max_size, max_depth, StateInvalid, StateTooLarge, _state_too_deep)
        self._forms: dict[type[object], _StateForm] = {}
        self._writers: dict[type[object], StateWriter[Any]] = {}

    def prepare(self, cls: type[object]) -> None:
        """Find out now whether the state can be read from JSON at all; raises ConfigurationError when not."""
        self._form_of(cls)

    def shape_of(self, cls: type[object]) -> str:
        """What tells the states of this class, in this release, from all others."""
        return self._form_of(cls).shape

    def write(self, state: T, carried: Carried | None = None) -> tuple[bytes, T | None, str]:
        """Three values: bytes that `read` reads as an equal state, what the next run gets, and the shape of the bytes.
        The bytes include the kept fields of other releases. If the second is None, the next run gets what `read` makes
        of the bytes.

        Raises StateInvalid or StateTooLarge.
        """
        return self.writer(type(state))(state, carried)

    def writer(self, cls: type[T]) -> StateWriter[T]:
        """`write` for the states of one class, made once."""
        found = self._writers.get(cls)
        if found is None:
            found = self._writers[cls] = self._writer_of(self._form_of(cls))
        return found

    def _writer_of(self, known: _StateForm) -> StateWriter[Any]:
        write, width, shape = known.write, known.width, known.shape

        def write_state(state: Any, carried: Carried | None = None) -> tuple[bytes, Any, str]:
            body, kept = write(state)
            if self.rereads or (kept is state and len(state.__dict__) != width):
                kept = None  # a cached value outside the fields is not stored, so the next run must not see it
            if not carried:
                return body, kept, shape
            merged = msgspec.json.encode({**mapping_of(body), **carried})
            known.form.check_limits(merged)
            return merged, kept, shape + CARRIES

        return write_state

    def read(self, cls: type[T], body: bytes, shape: str | None) -> ReadState[T]:
        """The state in the body, which was written by `shape` (None: by a release that wrote no shapes).

        Raises StateTooNew if this release would lose what a newer one wrote, and StateTooLarge. Raises StateInvalid if
        the state does not read as the class, or an upcaster fails.
        """
        known = self._form_of(cls)
        if shape == known.shape:
            return ReadState(cast(T, known.form.read(body)), None)
        if version_of(shape) > known.evolution.version:
            raise StateTooNew(known.form.name, "", f"version {version_of(shape)}")
        known.form.check_limits(body)
        body = _brought(known, body, version_of(shape))
        carried = _carried(known, body)
        return ReadState(cast(T, known.form.read(body)), carried or None)

    def _form_of(self, cls: type[object]) -> _StateForm:
        known = self._forms.get(cls)
        if known is None:
            known = self._forms[cls] = _state_form(cls, self._rules)
        return known


def _state_form(cls: type[object], rules: Rules) -> _StateForm:
    options: Any = getattr(cls, "__sagabus_saga__", None)
    name, is_lossy = getattr(options, "name", cls.__qualname__), getattr(options, "lossy", False)
    evolution: Evolution = options.evolution if options is not None else UNCHANGED
    form = native_form(cls, name, rules, is_lossy=is_lossy)
    return _StateForm(form, form.write, len(form.exact), shape_text(cls, evolution.version), evolution, described(cls))


def _brought(known: _StateForm, body: bytes, version: int) -> bytes:
    """The body as this version has it."""
    evolution = known.evolution
    if version == evolution.version and not evolution.dropped:
        return body
    try:
        return msgspec.json.encode(evolution.bring(plain(body), version))
    except Exception as error:  # an upcaster is the user's, and may raise anything
        path, reason = explain(error)
        raise StateInvalid(known.form.name, path, f"of version {version}: {reason}") from error


def _carried(known: _StateForm, body: bytes) -> Carried:
    """The fields that the class does not have; raises StateTooNew for one inside a field that it has."""
    try:
        stored = mapping_of(body)
    except msgspec.MsgspecError as error:
        raise StateInvalid(known.form.name, *explain(error)) from error
    for name, part in stored.items():
        if name in known.fields:
            unknown = unknown_part(known.fields[name], msgspec.json.decode(part), name, known.evolution.keeps)
            if unknown is not None:
                raise StateTooNew(known.form.name, unknown, "unknown field")
    return {name: part for name, part in stored.items() if name not in known.fields}


def _state_too_deep(name: str, limit: int) -> StateInvalid:
    return StateInvalid(name, "", f"nested deeper than {limit} levels")
