"""Which instance a message is for: a field of the message, or a function of it."""

from __future__ import annotations

import decimal
import enum
from collections.abc import Callable
from datetime import date
from typing import TypeAlias
from uuid import UUID

from sagabus.errors import MessageInvalid
from sagabus.message import MessageType

KeySpec: TypeAlias = str | Callable[..., object]
KeyOf: TypeAlias = Callable[[object], str]

LONGEST_KEY = 500
_PLAIN = (int, UUID, decimal.Decimal, date)


def key_reader(message_type: MessageType, spec: KeySpec) -> KeyOf:
    """The function that reads a message's key; MessageInvalid for a key that is missing, empty or no plain value."""
    name = message_type.name
    where = spec if isinstance(spec, str) else getattr(spec, "__name__", "key")

    def by_field(message: object) -> str:
        value = getattr(message, where)
        if type(value) is str and 0 < len(value) < LONGEST_KEY and "\0" not in value:
            return value
        return as_key(name, where, value)

    def by_function(message: object) -> str:
        return as_key(name, where, spec(message) if callable(spec) else None)

    return by_field if isinstance(spec, str) else by_function


def as_key(message_name: str, where: str, value: object) -> str:
    """A key as text: 1 to 500 characters, from text or a plain value."""
    if type(value) is not str:
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(value, bool) or not isinstance(value, (str, *_PLAIN)):
            raise MessageInvalid(message_name, where, f"a key must be text or a plain value, not {value!r}")
        value = str(value)
    if not value or len(value) > LONGEST_KEY or "\0" in value:
        raise MessageInvalid(
            message_name, where, f"a key has 1 to {LONGEST_KEY} characters and no NUL, unlike {value[:40]!r}"
        )
    return value
