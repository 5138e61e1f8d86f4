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

    __slots__ = ("_forms", "_rules", "rereads")

    def __init__(self, max_size: int = 1_048_576, max_depth: int = 32) -> None:
        self.rereads = False
        """Whether each run gets a state that was decoded from its bytes, as after a restart: for tests."""
        self._rules = Rules(max_size, max_depth, StateInvalid, StateTooLarge, _state_too_deep)
        self._forms: dict[type[object], Form] = {}

    def prepare(self, cls: type[object]) -> None:
        """Find out now whether the state can be read from JSON at all; raises ConfigurationError when not."""
        self._form_of(cls)

    def encode(self, state: object) -> bytes:
        """The state as bytes that `decode` reads as an equal state; raises StateInvalid or StateTooLarge."""
        return self._form_of(type(state)).write(state)[0]

    def write(self, state: T) -> tuple[bytes, T | None]:
        """The state as bytes, and the state that the next run gets: what `decode` makes of them, or None to have it
        decoded then. Raises like `encode`.
        """
        form = self._form_of(type(state))
        body, found = form.write(state)
        if self.rereads or (found is state and len(vars(state)) != len(form.exact)):
            return body, None  # a cached value beside the fields is not stored, so the next run must not see it
        return body, cast(T, found)

    def decode(self, cls: type[T], body: bytes) -> T:
        """The state in the body; fields its class does not declare are ignored. Raises like `encode`."""
        return cast(T, self._form_of(cls).read(body))

    def _form_of(self, cls: type[object]) -> Form:
        known = self._forms.get(cls)
        if known is None:
            known = self._forms[cls] = _state_form(cls, self._rules)
        return known


def _state_form(cls: type[object], rules: Rules) -> Form:
    options = getattr(cls, "__sagabus_saga__", None)
    name, is_lossy = getattr(options, "name", cls.__qualname__), getattr(options, "lossy", False)
    return native_form(cls, name, rules, is_lossy=is_lossy)


def _state_too_deep(name: str, limit: int) -> StateInvalid:
    return StateInvalid(name, "", f"nested deeper than {limit} levels")
