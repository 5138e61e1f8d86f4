"""How one class is written as JSON and read again: what `codec` does for messages, and `state_codec` for states.

Each form is made once, when the bus is built, and is then used for every message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from types import UnionType
from typing import Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from sagabus.errors import ConfigurationError, SagaBusError
from sagabus.json_text import explain, is_too_deep, non_finite

__all__ = ["Form", "Rules", "native_form"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How much is let through, and what is raised for the rest."""

    max_size: int
    max_depth: int
    invalid: Callable[[str, str, str], SagaBusError]
    too_large: Callable[[str, int, int], SagaBusError]
    too_deep: Callable[[str, int], SagaBusError]

    def __post_init__(self) -> None:
        if self.max_size < 1 or self.max_depth < 1:
            raise ConfigurationError("codec limits max_size and max_depth must be at least 1")


class ExactField(NamedTuple):
    """What the value of one field may be, so that nobody has to try."""

    name: str
    types: frozenset[type]
    values: frozenset[str]


@dataclass(frozen=True)
class Form:
    """How one class is written and read."""

    name: str
    rules: Rules
    encode: Callable[[object], bytes]
    decode: Callable[[bytes], object]
    plain: Callable[[object], object]
    fields: tuple[str, ...]
    exact: tuple[ExactField, ...] = ()
    """Every field with what its values may be, where that alone says that the body can be read; else empty."""

    @cached_property
    def unbounded(self) -> int:
        """The length up to which no limit can be exceeded: a body is not deeper than half its length."""
        return min(self.rules.max_size, 2 * self.rules.max_depth)

    def write(self, value: object) -> bytes:
        """The value as bytes that `read` accepts; raises the errors of the rules."""
        try:
            body = self.encode(value)
        except RecursionError as error:
            raise self.rules.too_deep(self.name, self.rules.max_depth) from error
        except MemoryError:
            raise  # says nothing about the value
        except Exception as error:
            raise self.rules.invalid(self.name, *self.locate(value, error)) from error
        if len(body) > self.unbounded:
            self.check_limits(body)
        if self.exact and self.is_exact(value):
            return body
        # NaN and Infinity are written as null, which an optional field would accept as "absent".
        if b"null" in body and (path := self.non_finite(value)) is not None:
            raise self.rules.invalid(self.name, path, "NaN and Infinity have no form in JSON")
        self.parse(body)
        return body

    def is_exact(self, value: object) -> bool:
        """Whether types alone say that the body can be read."""
        for name, types, values in self.exact:
            found = getattr(value, name)
            if type(found) not in types and (type(found) is not str or found not in values):
                return False
        return True

    def read(self, body: bytes) -> object:
        """The value in a body; limits and UTF-8 are checked first."""
        if len(body) > self.unbounded:
            self.check_limits(body)
        # The parser skips unknown fields without looking at their bytes, so UTF-8 is checked for the whole body.
        if not body.isascii():
            self.check_text(body)
        return self.parse(body)

    def parse(self, body: bytes) -> object:
        """The value in a body that is within the limits."""
        try:
            return self.decode(body)
        except MemoryError:
            raise  # says nothing about the body, which must not be dead-lettered for it
        except Exception as error:  # a constructor of the user's may raise anything
            raise self.rules.invalid(self.name, *explain(error)) from error

    def check_limits(self, body: bytes) -> None:
        """Raise for a body that is too large or too deep."""
        rules = self.rules
        if len(body) > rules.max_size:
            raise rules.too_large(self.name, len(body), rules.max_size)
        # No body is deeper than it has opening brackets; this count settles nearly all.
        if body.count(b"[") + body.count(b"{") > rules.max_depth and is_too_deep(body, rules.max_depth):
            raise rules.too_deep(self.name, rules.max_depth)

    def check_text(self, body: bytes) -> None:
        """Raise for a body that is no UTF-8."""
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise self.rules.invalid(self.name, *explain(error)) from error

    def non_finite(self, value: object) -> str | None:
        """The path of the first NaN or Infinity, if there is one."""
        # Most nulls are a None among strings and integers: seen at once, without taking the value apart.
        if self.fields and all(type(getattr(value, name)) in _NEVER_FLOAT for name in self.fields):
            return None
        return non_finite(self.plain(value), "")

    def locate(self, value: object, error: Exception) -> tuple[str, str]:
        """Path and reason of a failed encode, which does not say where: the first field that fails alone."""
        for name in self.fields:
            try:
                msgspec.json.encode(getattr(value, name))
            except Exception as field_error:  # noqa: BLE001 - the encode of the whole has failed, of whatever kind
                return name, explain(field_error)[1]
        return explain(error)


_NEVER_FLOAT = frozenset({str, int, bool, type(None)})


def native_form(cls: type[object], name: str, rules: Rules) -> Form:
    """The form of a dataclass or a Struct; raises ConfigurationError for what cannot be read from JSON."""
    try:
        decoder = msgspec.json.Decoder(cls)
    except (TypeError, ValueError, NameError, AttributeError) as error:
        raise ConfigurationError(f"{name}: {cls.__qualname__} cannot be read from JSON: {error}") from error
    names = getattr(cls, "__struct_fields__", None) or _dataclass_fields(cls)
    encode = msgspec.json.Encoder().encode
    return Form(name, rules, encode, decoder.decode, msgspec.to_builtins, names, _exact_fields(cls, names))


def _exact_fields(cls: type[object], names: Sequence[str]) -> tuple[ExactField, ...]:
    """What plain fields (text, whole numbers, booleans, none, literal texts) may be; nothing for any other class."""
    if not is_dataclass(cls) or hasattr(cls, "__post_init__"):
        return ()
    try:
        hints = get_type_hints(cls, include_extras=True)  # a constraint is no plain type
    except (NameError, TypeError, AttributeError):
        return ()
    found = tuple(ExactField(name, *_plain(hints.get(name))) for name in names)
    return found if all(field.types or field.values for field in found) else ()


def _plain(hint: object) -> tuple[frozenset[type], frozenset[str]]:
    """The types and the literal texts that a field takes; neither when it takes anything else."""
    members = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    types = frozenset(member for member in members if isinstance(member, type) and member in _PLAIN)
    literals = [member for member in members if get_origin(member) is Literal]
    values = [value for literal in literals for value in get_args(literal)]
    if len(types) + len(literals) < len(members) or not all(type(value) is str for value in values):
        return frozenset(), frozenset()
    return types, frozenset(values)


_PLAIN = frozenset({str, int, bool, type(None)})


def _dataclass_fields(cls: type[object]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls)) if is_dataclass(cls) else ()
