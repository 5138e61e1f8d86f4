"""Messages and saga states as JSON bytes: strict both ways, bounded before parsing, one form of error.

Between `engine.sender` (encode) and `processing` (decode); `admit` is for bytes from outside.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from hashlib import blake2b
from types import UnionType
from typing import Literal, NamedTuple, Protocol, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from sagabus.errors import (
    ConfigurationError,
    MessageInvalid,
    MessageTooDeep,
    MessageTooLarge,
    SagaBusError,
    StateInvalid,
    StateTooLarge,
)
from sagabus.message import MessageType, field_names, message_type_of
from sagabus.pydantic_codec import decode_model, encode_model, explain, plain_model

__all__ = ["Codec", "JsonCodec", "StateCodec", "fingerprint"]

T = TypeVar("T")


class Codec(Protocol):
    """Port: messages to bytes and back. Every call is pure, may be repeated, and may come from any thread."""

    def encode(self, message: object) -> bytes:
        """The message as bytes that `decode` of every process with the same declaration accepts.

        Raises MessageNotDeclared, MessageInvalid, MessageTooLarge or MessageTooDeep; then nothing may be sent.
        """
        ...

    def decode(self, message_type: MessageType, body: bytes) -> object:
        """The message in a stored body, checked against its declaration; fields it does not declare are ignored.

        Raises MessageInvalid, MessageTooLarge or MessageTooDeep, whatever the bytes are.
        """
        ...

    def admit(self, message_type: MessageType, body: bytes) -> None:
        """Accept bytes from outside: what passes can be decoded, and reads the same for every JSON parser.

        Raises like `decode`; besides, MessageInvalid for a key that appears twice in one object.
        """
        ...


class JsonCodec:
    """JSON text in UTF-8. Integers are exact up to 4300 digits; NaN, Infinity and numbers beyond a double are refused.

    Encoding decodes the result once, because a dataclass constructor validates nothing: what a receiver would refuse
    is refused at the sender, where the mistake is. Constructors with side effects therefore see each message twice.
    """

    __slots__ = ("_forms", "_rules")

    def __init__(self, max_size: int = 262_144, max_depth: int = 32) -> None:
        self._rules = _Rules(max_size, max_depth, MessageInvalid, MessageTooLarge, MessageTooDeep)
        self._forms: dict[type[object], _Form] = {}

    def prepare(self, message_type: MessageType) -> None:
        """Find out now whether the fields can be read from JSON at all; raises ConfigurationError when not."""
        self._form_of(message_type)

    def encode(self, message: object) -> bytes:
        """Promise of the port; the check adds the cost of one decode."""
        form = self._forms.get(type(message)) or self._form_for(message)
        return form.write(message)

    def decode(self, message_type: MessageType, body: bytes) -> object:
        """Promise of the port; limits and UTF-8 are checked before anything is parsed."""
        form = self._forms.get(message_type.cls) or self._form_of(message_type)
        return form.read(body)

    def admit(self, message_type: MessageType, body: bytes) -> None:
        """Promise of the port; parses three times, which only bytes from outside have to pay for."""
        self.decode(message_type, body)
        try:
            # Strict in the fields nobody declares, too: they are stored, and other parsers will read them.
            msgspec.json.decode(body)
            repeated = next(_repeated_keys(json.loads(body, object_pairs_hook=_Pairs), ""), None)
        except ValueError as error:
            raise MessageInvalid(message_type.name, *_explain(error)) from error
        if repeated is not None:
            raise MessageInvalid(message_type.name, repeated, "key appears twice")

    def _form_for(self, message: object) -> "_Form":
        message_type = message_type_of(message)
        if isinstance(message, type):
            raise MessageInvalid(message_type.name, "", "expected a message, got its class")
        return self._form_of(message_type)

    def _form_of(self, message_type: MessageType) -> "_Form":
        known = self._forms.get(message_type.cls)
        if known is None:
            known = self._forms[message_type.cls] = _message_form(message_type, self._rules)
        return known


class StateCodec:
    """Saga state to bytes and back, by the same rules as messages. States are not sent, so the limit is wider."""

    __slots__ = ("_forms", "_rules")

    def __init__(self, max_size: int = 1_048_576, max_depth: int = 32) -> None:
        self._rules = _Rules(max_size, max_depth, StateInvalid, StateTooLarge, _state_too_deep)
        self._forms: dict[type[object], _Form] = {}

    def prepare(self, cls: type[object]) -> None:
        """Find out now whether the state can be read from JSON at all; raises ConfigurationError when not."""
        self._form_of(cls)

    def encode(self, state: object) -> bytes:
        """The state as bytes that `decode` accepts for its class; raises StateInvalid or StateTooLarge."""
        return self._form_of(type(state)).write(state)

    def decode(self, cls: type[T], body: bytes) -> T:
        """The state in the body; fields its class does not declare are ignored. Raises like `encode`."""
        return cast(T, self._form_of(cls).read(body))

    def _form_of(self, cls: type[object]) -> "_Form":
        known = self._forms.get(cls)
        if known is None:
            known = self._forms[cls] = _native_form(cls, cls.__qualname__, self._rules)
        return known


def fingerprint(message_type_name: str, body: bytes) -> bytes:
    """16 bytes that differ when the type or the body does: tells a copy from another message under the same id."""
    name = message_type_name.encode()
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    return blake2b(b"%d:%b%b" % (len(name), name, body), digest_size=16).digest()


def _state_too_deep(name: str, limit: int) -> StateInvalid:
    return StateInvalid(name, "", f"nested deeper than {limit} levels")


@dataclass(frozen=True, slots=True)
class _Rules:
    """How much is let through, and what is raised for the rest."""

    max_size: int
    max_depth: int
    invalid: Callable[[str, str, str], SagaBusError]
    too_large: Callable[[str, int, int], SagaBusError]
    too_deep: Callable[[str, int], SagaBusError]

    def __post_init__(self) -> None:
        if self.max_size < 1 or self.max_depth < 1:
            raise ConfigurationError("codec limits max_size and max_depth must be at least 1")


class _ExactField(NamedTuple):
    """What the value of one field may be, so that nobody has to try."""

    name: str
    types: frozenset[type]
    values: frozenset[str]


@dataclass(frozen=True)
class _Form:
    """How one class is written and read."""

    name: str
    rules: _Rules
    encode: Callable[[object], bytes]
    decode: Callable[[bytes], object]
    plain: Callable[[object], object]
    fields: tuple[str, ...]
    exact: tuple[_ExactField, ...] = ()
    """Every field with what its values may be, where that alone says that the body can be read; else empty."""

    @cached_property
    def unbounded(self) -> int:
        """The length up to which no limit can be exceeded: a body is not deeper than half its length."""
        return min(self.rules.max_size, 2 * self.rules.max_depth)

    def write(self, value: object) -> bytes:
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
        for name, types, values in self.exact:
            found = getattr(value, name)
            if type(found) not in types and (type(found) is not str or found not in values):
                return False
        return True

    def read(self, body: bytes) -> object:
        if len(body) > self.unbounded:
            self.check_limits(body)
        # The parser skips unknown fields without looking at their bytes, so UTF-8 is checked for the whole body.
        if not body.isascii():
            self.check_text(body)
        return self.parse(body)

    def parse(self, body: bytes) -> object:
        try:
            return self.decode(body)
        except MemoryError:
            raise  # says nothing about the body, which must not be dead-lettered for it
        except Exception as error:  # a constructor of the user's may raise anything
            raise self.rules.invalid(self.name, *_explain(error)) from error

    def check_limits(self, body: bytes) -> None:
        rules = self.rules
        if len(body) > rules.max_size:
            raise rules.too_large(self.name, len(body), rules.max_size)
        # No body is deeper than it has opening brackets; this count settles nearly all.
        if body.count(b"[") + body.count(b"{") > rules.max_depth and _is_too_deep(body, rules.max_depth):
            raise rules.too_deep(self.name, rules.max_depth)

    def check_text(self, body: bytes) -> None:
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise self.rules.invalid(self.name, *_explain(error)) from error

    def non_finite(self, value: object) -> str | None:
        # Most nulls are a None among strings and integers: seen at once, without taking the value apart.
        if self.fields and all(type(getattr(value, name)) in _NEVER_FLOAT for name in self.fields):
            return None
        return _non_finite(self.plain(value), "")

    def locate(self, value: object, error: Exception) -> tuple[str, str]:
        """Path and reason of a failed encode, which does not say where: the first field that fails alone."""
        for name in self.fields:
            try:
                msgspec.json.encode(getattr(value, name))
            except Exception as field_error:  # noqa: BLE001 - the encode of the whole has failed, of whatever kind
                return name, _explain(field_error)[1]
        return _explain(error)


_NEVER_FLOAT = frozenset({str, int, bool, type(None)})


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its repeated keys."""


def _message_form(message_type: MessageType, rules: _Rules) -> _Form:
    cls, name = message_type.cls, message_type.name
    if message_type.shape == "pydantic":
        names = field_names(message_type)
        return _Form(name, rules, encode_model, lambda body: decode_model(cls, body), plain_model, names)
    return _native_form(cls, name, rules)


def _native_form(cls: type[object], name: str, rules: _Rules) -> _Form:
    try:
        decoder = msgspec.json.Decoder(cls)
    except (TypeError, ValueError, NameError, AttributeError) as error:
        raise ConfigurationError(f"{name}: {cls.__qualname__} cannot be read from JSON: {error}") from error
    names = getattr(cls, "__struct_fields__", None) or _dataclass_fields(cls)
    encode = msgspec.json.Encoder().encode
    return _Form(name, rules, encode, decoder.decode, msgspec.to_builtins, names, _exact_fields(cls, names))


def _exact_fields(cls: type[object], names: Sequence[str]) -> tuple[_ExactField, ...]:
    """What plain fields (text, whole numbers, booleans, none, literal texts) may be; nothing for any other class."""
    if not is_dataclass(cls) or hasattr(cls, "__post_init__"):
        return ()
    try:
        hints = get_type_hints(cls, include_extras=True)  # a constraint is no plain type
    except (NameError, TypeError, AttributeError):
        return ()
    found = tuple(_ExactField(name, *_plain(hints.get(name))) for name in names)
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


# A string, closed or not: an unclosed one must match to the end, or each of its quotes would start another search.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def _is_too_deep(body: bytes, limit: int) -> bool:
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NOT_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > limit:
            return True
    return False


def _non_finite(value: object, path: str) -> str | None:
    """The path of the first NaN or Infinity in dicts, lists and scalars."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    for step, part in _parts(value):
        if type(part) is not str and (found := _non_finite(part, _join(path, step))) is not None:
            return found
    return None


def _parts(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, dict):
        yield from cast("dict[object, object]", value).items()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from enumerate(cast("Iterable[object]", value))


def _repeated_keys(value: object, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, part in value:
            if key in seen:
                yield _join(path, key)
            seen.add(key)
            yield from _repeated_keys(part, _join(path, key))
    elif isinstance(value, list):
        for index, part in enumerate(cast("list[object]", value)):
            yield from _repeated_keys(part, _join(path, index))


def _join(path: str, step: object) -> str:
    return f"{path}[{step}]" if isinstance(step, int) else f"{path}.{step}".removeprefix(".")


_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_PATH = re.compile(r"(?P<reason>.*) - at `(?:key` in `)?\$(?P<path>.*)`", re.DOTALL)


def _explain(error: Exception) -> tuple[str, str]:
    """Field path and reason, whatever raised the error."""
    if isinstance(error, UnicodeError):
        return "", "text is not valid UTF-8"
    if (explained := explain(error)) is not None:
        return explained
    text = str(error) or type(error).__name__
    found = _PATH.fullmatch(text)
    path, reason = (found["path"].removeprefix("."), found["reason"]) if found else ("", text)
    if missing := _MISSING.fullmatch(reason):
        return _join(path, missing["field"]), "required field is missing"
    return path, reason[:1].lower() + reason[1:].replace("`", "")
