"""Saga states as JSON bytes, by the same rules as messages.

Between `views` or `processing` and the store.
"""

from typing import TypeVar, cast

from sagabus.errors import StateInvalid, StateTooLarge
from sagabus.form import Form, Rules, native_form

__all__ = ["StateCodec"]

T = TypeVar("T")


class StateCodec:
    """Saga state to bytes and back, by the same rules as messages. States are not sent, so the limit is wider."""

    __slots__ = ("_forms", "_rules")

    def __init__(self, max_size: int = 1_048_576, max_depth: int = 32) -> None:
        self._rules = Rules(max_size, max_depth, StateInvalid, StateTooLarge, _state_too_deep)
        self._forms: dict[type[object], Form] = {}

    def prepare(self, cls: type[object]) -> None:
        """Find out now whether the state can be read from JSON at all; raises ConfigurationError when not."""
        self._form_of(cls)

    def encode(self, state: object) -> bytes:
        """The state as bytes that `decode` accepts for its class; raises StateInvalid or StateTooLarge."""
        return self._form_of(type(state)).write(state)

    def decode(self, cls: type[T], body: bytes) -> T:
        """The state in the body; fields its class does not declare are ignored. Raises like `encode`."""
        return cast(T, self._form_of(cls).read(body))

    def _form_of(self, cls: type[object]) -> Form:
        known = self._forms.get(cls)
        if known is None:
            known = self._forms[cls] = native_form(cls, cls.__qualname__, self._rules)
        return known


def _state_too_deep(name: str, limit: int) -> StateInvalid:
    return StateInvalid(name, "", f"nested deeper than {limit} levels")
