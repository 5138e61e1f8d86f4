"""Keys, names and ids that callers of a bus pass, refused here: a store would find nothing, or say something else.

A key is text everywhere. A saga whose key field is a number has its text: `"1"`, not `1`.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from sagabus.errors import WrongType

_PLAIN = (int, Decimal, UUID, date)
"""Values whose text is the key of a message that has one of them."""


def check_text(call: str, **arguments: object) -> None:
    """Raise WrongType for an argument that is neither text nor None."""
    for name, value in arguments.items():
        if value is not None and not isinstance(value, str):
            plain = isinstance(value, _PLAIN) and not isinstance(value, bool)
            raise _refusal(call, name, "text", value, f": write {str(value)!r}" if plain else "")


def check_key(call: str, key: object) -> None:
    """Raise WrongType for a key that is no text."""
    if key is None:
        raise _refusal(call, "key", "text", key)
    check_text(call, key=key)


def check_number(call: str, **arguments: object) -> None:
    """Raise WrongType for an argument that is no whole number."""
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool):
            is_number = isinstance(value, str) and value.isascii() and value.isdecimal()
            raise _refusal(call, name, "a whole number", value, f": write {value}" if is_number else "")


def check_saga(saga: object) -> None:
    """Raise WrongType for what is neither the name of a saga nor a class."""
    if not isinstance(saga, str | type):
        raise _refusal("a look at a saga", "saga", "its class or its name", saga)


def _refusal(call: str, name: str, wanted: str, given: object, advice: str = "") -> WrongType:
    kind = "None" if given is None else type(given).__name__
    return WrongType(f"{call}: {name} must be {wanted}, not {kind}{advice}")
