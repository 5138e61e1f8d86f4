"""How one class is written as JSON and read again: what `messages` and `states` stand on.

Each form is made once, when the bus is built, and is then used for every message.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, partial
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from sagabus.codec.comparison import NOT_FINITE, difference, non_finite, parts
from sagabus.codec.field_types import FieldTypes, walk
from sagabus.codec.json_text import explain, is_too_deep, join
from sagabus.codec.marks import without_mark
from sagabus.codec.pydantic_codec import decode_model, encode_model, read_inner, write_inner
from sagabus.codec.undeclared import Check, check_inside, first_lost
from sagabus.errors import ConfigurationError, SagaBusError
from sagabus.introspection.local_names import resolve_fields

__all__ = ["Form", "Rules", "Writer", "model_form", "native_form"]

Writer: TypeAlias = Callable[[Any], tuple[bytes, Any]]


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
    """What the value of one field may be, so that none has to be tried."""

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
    exact: tuple[ExactField, ...] = ()
    """Every field with what its values may be, where that alone says that the value comes back equal; else empty."""
    equality_shows_all: bool = False
    """Whether values that are equal by `==` are equal in every field."""
    is_lossy: bool = False
    """Whether what is read may differ from what was written: then it only has to be readable."""
    may_lose: Check | None = None
    """Whether objects inside a value may have attributes that are no fields; None where no object can."""

    @cached_property
    def write(self) -> Writer:
        """Makes the bytes of a value, and the value that `read` makes of them; raises the errors of the rules."""
        return _writer(self)

    def refuse(self, value: Any, error: Exception) -> None:
        """Raise for a value that could not be encoded; MemoryError says nothing about it."""
        if isinstance(error, RecursionError):
            raise self.rules.too_deep(self.name, self.rules.max_depth) from error
        if not isinstance(error, MemoryError):
            raise self.rules.invalid(self.name, *self.locate(value, error)) from error

    def read_back(self, body: bytes, value: object) -> object:
        """What the body is read as; raises where that is another value than the one that was written."""
        self.check_limits(body)
        try:
            found = self.read(body)
        except SagaBusError:
            self.refuse_non_finite(value)  # a better reason than that its null is no number
            raise
        if self.is_lossy:
            if b"null" in body:
                self.refuse_non_finite(value)
        elif not (self.equality_shows_all and value == found) and (differs := difference(value, found)) is not None:
            raise self.rules.invalid(self.name, *differs)
        elif self.may_lose is not None and self.may_lose(value) and (lost := first_lost(value, found)) is not None:
            raise self.rules.invalid(self.name, *lost)
        return found

    @cached_property
    def read(self) -> Callable[[bytes], Any]:
        """Makes the value in a body; limits and UTF-8 are checked first. Raises the errors of the rules."""
        return self.reader(lambda body, _: body)

    def reader(self, bring: Callable[[bytes, Any], bytes]) -> Callable[..., Any]:
        """The same for a body that came with headers: with any, `bring` makes it one of this form."""
        decode, max_size, max_depth = self.decode, self.rules.max_size, self.rules.max_depth
        harmless = min(max_size, 2 * max_depth)

        def read(body: bytes, headers: object = None) -> object:
            if headers is not None:
                body = bring(body, headers)
            # No body is deeper than it has opening brackets, and a short one has not enough: this settles nearly all.
            if len(body) > harmless and (len(body) > max_size or body.count(b"{") + body.count(b"[") > max_depth):
                self.check_limits(body)
            # The parser skips unknown fields without looking at their bytes, so UTF-8 is checked for the whole body.
            if not body.isascii():
                self.check_text(body)
            try:
                return decode(body)
            except MemoryError:
                raise  # says nothing about the body, which must not be dead-lettered for it
            except Exception as error:  # a constructor of the user's may raise anything
                raise self.rules.invalid(self.name, *explain(error)) from error

        return read

    def check_limits(self, body: bytes) -> None:
        """Raise for a body that is too large or too deep."""
        rules = self.rules
        if len(body) > rules.max_size:
            raise rules.too_large(self.name, len(body), rules.max_size)
        if body.count(b"[") + body.count(b"{") > rules.max_depth and is_too_deep(body, rules.max_depth):
            raise rules.too_deep(self.name, rules.max_depth)

    def check_text(self, body: bytes) -> None:
        """Raise for a body that is no UTF-8."""
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise self.rules.invalid(self.name, *explain(error)) from error

    def refuse_non_finite(self, value: object) -> None:
        """Raise for a value that holds NaN or Infinity: they are written as null, which may read as "absent"."""
        if (path := non_finite(value)) is not None:
            raise self.rules.invalid(self.name, path, NOT_FINITE)

    def locate(self, value: object, error: Exception, path: str = "") -> tuple[str, str]:
        """Path and reason of a failed encode, which does not say where: down to the innermost part that fails alone."""
        for step, part in parts(value):
            try:
                _encode(part)
            except Exception as part_error:  # noqa: BLE001 - the encode of the whole has failed, of whatever kind
                return self.locate(part, part_error, join(path, step))
        found, reason = explain(error)
        return path or found, reason


def _writer(form: Form) -> Writer:
    """A function made for one class, since a loop over its fields after every encode would cost more than the encode.

    Fields of plain values cannot be nested too deeply. Only the names of fields go into its source, and a dataclass
    takes none that is not an identifier.
    """
    names: dict[str, object] = {"encode": form.encode, "refuse": form.refuse, "read_back": form.read_back}
    tests = [f"len(body) <= {form.rules.max_size}" if form.exact else "False"]
    for number, (name, types, values) in enumerate(form.exact):
        names |= {f"types{number}": types, f"values{number}": values}
        test = f"type(value.{name}) in types{number}"
        if len(types) == 1 and not values:
            names[f"type{number}"] = next(iter(types))
            test = f"type(value.{name}) is type{number}"
        elif values:
            test = f"({test} or type(value.{name}) is str and value.{name} in values{number})"
        tests.append(test)
    exec(_WRITER.format(comes_back=" and ".join(tests)), names)  # noqa: S102  # see above
    return cast(Writer, names["write"])


_WRITER = """
def write(value):
    try:
        body = encode(value)
    except Exception as error:
        refuse(value, error)
        raise
    return body, (value if {comes_back} else read_back(body, value))
"""


_encode = msgspec.json.Encoder(enc_hook=write_inner).encode


def model_form(cls: type[object], name: str, rules: Rules, *, is_lossy: bool = False) -> Form:
    """The form of a pydantic model; raises ConfigurationError for fields that cannot be read from JSON."""
    types = _types(cls, name)
    shows_all = types.equality_shows_all
    return Form(name, rules, encode_model, partial(decode_model, cls), (), shows_all, is_lossy)


def native_form(cls: type[object], name: str, rules: Rules, *, is_lossy: bool = False) -> Form:
    """The form of a dataclass or a Struct; raises ConfigurationError for what cannot be read from JSON."""
    resolve_fields(cls, getattr(cls, "__sagabus_names__", {}))
    try:
        decoder = msgspec.json.Decoder(cls, dec_hook=read_inner)
    except NameError as error:
        raise ConfigurationError(
            f"{name}: {cls.__qualname__} cannot be read from JSON: {error}; "
            "import what a field is annotated with outside of `if TYPE_CHECKING`"
        ) from error
    except _UNDESCRIBABLE as error:
        raise ConfigurationError(f"{name}: {cls.__qualname__} cannot be read from JSON: {error}") from error
    types = _types(cls, name)
    exact = _exact_fields(cls)
    return Form(name, rules, _encode, decoder.decode, exact, types.equality_shows_all, is_lossy, check_inside(cls))


_UNDESCRIBABLE = (TypeError, ValueError, NameError, AttributeError, NotImplementedError)


def _types(cls: type[object], name: str) -> FieldTypes:
    try:
        types = walk(cls)
    except _UNDESCRIBABLE as error:
        raise ConfigurationError(f"{name}: {cls.__qualname__} cannot be read from JSON: {error}") from error
    if types.problems:
        raise ConfigurationError(*(f"{name}: {problem}" for problem in types.problems))
    return types


def _exact_fields(cls: type[object]) -> tuple[ExactField, ...]:
    """What plain fields (text, whole numbers, booleans, none, literal texts) may be; nothing for any other class."""
    if not is_dataclass(cls) or hasattr(cls, "__post_init__"):
        return ()
    try:
        hints = get_type_hints(cls, include_extras=True)  # a constraint is no plain type
    except (NameError, TypeError, AttributeError):
        return ()
    found = tuple(ExactField(field.name, *_plain(hints.get(field.name))) for field in fields(cls))
    return found if all(field.types or field.values for field in found) else ()


def _plain(hint: object) -> tuple[frozenset[type], frozenset[str]]:
    """The types and the literal texts that a field takes; neither when it takes anything else."""
    hint = without_mark(hint)
    members = tuple(map(without_mark, get_args(hint))) if get_origin(hint) in {Union, UnionType} else (hint,)
    types = frozenset(member for member in members if isinstance(member, type) and member in _PLAIN)
    literals = [member for member in members if get_origin(member) is Literal]
    values = [value for literal in literals for value in get_args(literal)]
    if len(types) + len(literals) < len(members) or not all(type(value) is str for value in values):
        return frozenset(), frozenset()
    return types, frozenset(values)


_PLAIN = frozenset({str, int, bool, type(None)})
