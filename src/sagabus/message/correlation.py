"""Which instance a message is for: a field of the message, or a function of it."""

from __future__ import annotations

import decimal
import enum
from collections.abc import Callable
from datetime import date
from typing import Any, TypeAlias
from uuid import UUID

from sagabus.errors import MessageInvalid
from sagabus.message.declaration import MessageType
from sagabus.refs import RESERVED

KeySpec: TypeAlias = str | Callable[[Any], object]
KeyOf: TypeAlias = Callable[[object], str | None]

LONGEST_KEY = 500
_PLAIN = (int, UUID, decimal.Decimal, date)


def key_reader(message_type: MessageType, spec: KeySpec) -> KeyOf:
    """The function that reads a message's key: None where it has none, because the field or the function gives None or
    an empty text. MessageInvalid for a key that is no plain value or too long, and for a function that raises.
    """
    return field_reader(message_type.name, spec) if isinstance(spec, str) else _function_reader(message_type.name, spec)


def field_reader(message_name: str, field: str) -> KeyOf:
    """The reader of a key that a field holds, for a class that may be another process's, and lack it."""

    def by_field(message: object) -> str | None:
        value = getattr(message, field, None)
        if type(value) is str and value.isascii() and value >= " " and len(value) < LONGEST_KEY and "\0" not in value:
            return value
        return _key_or_none(message_name, field, value)

    return by_field


def _function_reader(message_name: str, function: Callable[..., object]) -> KeyOf:
    where = getattr(function, "__name__", "key")

    def by_function(message: object) -> str | None:
        try:
            value = function(message)
        except Exception as error:
            reason = f"the key function raised {type(error).__qualname__}: {error}"
            raise MessageInvalid(message_name, where, reason) from error
        return _key_or_none(message_name, where, value)

    return by_function


def _key_or_none(message_name: str, where: str, value: object) -> str | None:
    return None if value is None or (isinstance(value, str) and not value) else as_key(message_name, where, value)


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
    if value.startswith(RESERVED):
        raise MessageInvalid(message_name, where, f"a key must not begin with U+001E, unlike {value[:40]!r}")
    if not value.isascii():
        _check_unicode(message_name, where, value)
    return value


def _check_unicode(message_name: str, where: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MessageInvalid(
            message_name, where, f"a key must be text that UTF-8 can write, unlike {value[:40]!r}"
        ) from None
