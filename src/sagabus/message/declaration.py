"""What a message is: a class with a wire name that says whether it is an event or a command.

The bottom of the message's way: `codec` turns these into bytes and back, `routing` and `saga` ask for names and fields.
Nothing here is looked up by module path, so renaming or moving a class never breaks what is stored or under way.
"""

import dataclasses
import enum
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar, Unpack, cast, dataclass_transform

from sagabus.errors import ConfigurationError, MessageNotDeclared, UnknownMessageType
from sagabus.evolution import UNCHANGED, Evolution, Upcast, is_names
from sagabus.introspection.local_names import visible_names
from sagabus.message.declared_class import become_dataclass
from sagabus.message.kinds import Command, Event
from sagabus.text import known_names

__all__ = [
    "MessageType",
    "Registry",
    "command",
    "event",
    "field_names",
    "get_field",
    "message_type_of",
    "required_field_names",
]

Kind: TypeAlias = Literal["event", "command"]
Shape: TypeAlias = Literal["dataclass", "struct", "pydantic"]
T = TypeVar("T")

VERSION_HEADER = "sagabus-version"
"""Says the version of a message whose version is not 1."""

_WIRE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
# These bring their own constructor or layout, which a dataclass made on top of them would silently break.
_NOT_PLAIN: tuple[type[object], ...] = (tuple, list, dict, set, str, bytes, int, float, BaseException, enum.Enum)


@dataclasses.dataclass(frozen=True, slots=True)
class MessageType:
    """A declared message: its wire name, what it means to receivers, its class, and who made the class."""

    name: str
    kind: Kind
    cls: type[object]
    shape: Shape
    lossy: bool = False
    """Whether what is received may differ from what was sent."""
    aliases: tuple[str, ...] = ()
    """Wire names that it had before; messages under them are received as this one."""
    evolution: Evolution = dataclasses.field(default=UNCHANGED, compare=False)
    """How it has changed since older releases sent it."""
    private: bool = False
    """Whether it stays in the service that sends it, whatever goes out by the rules of its brokers."""

    @property
    def names(self) -> tuple[str, ...]:
        """All its names on the wire, the present one first."""
        return (self.name, *self.aliases)

    @property
    def version(self) -> int:
        """The version that is sent."""
        return self.evolution.version


class MessageOptions(TypedDict, total=False):
    """Options of `@event` and `@command` after the wire name."""

    lossy: bool
    """What is received may differ from what was sent; without it such a message is refused where it is sent."""
    aliases: Sequence[str]
    """Wire names that the message had before: what was sent under them is received as this message."""
    version: int
    """From 1. A process that knows a lower version leaves the message to one that knows it."""
    upcast: Mapping[int, Upcast]
    """By version, a function from the stored mapping of that version to the mapping of the next."""
    renamed: Mapping[str, str]
    """Old names of fields with the new ones, for messages of a lower version."""
    private: bool
    """The message stays in the service that sends it: no broker gets it."""


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def event(name: str, **options: Unpack[MessageOptions]) -> Callable[[type[T]], type[T]]:
    """Declare a class as an event: something that happened, for any number of subscriptions.

    A plain class becomes a frozen dataclass; a dataclass, msgspec.Struct or pydantic model is taken as it is. The class
    itself is returned, never a copy. The sender refuses a message whose bytes would read as another value. `lossy=True`
    permits it, for models with `exclude=True` or a serializer that rounds. `aliases`, `version`, `upcast` and `renamed`
    read what older releases sent. `private=True` keeps the message from every broker. Raises ConfigurationError when
    the wire name, an option or the class cannot be used.
    """
    return _declaring(name, "event", options)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def command(name: str, **options: Unpack[MessageOptions]) -> Callable[[type[T]], type[T]]:
    """Declare a class as a command: something to be done by exactly one receiver. Otherwise like `event`."""
    return _declaring(name, "command", options)


def version_in(headers: Mapping[str, str] | None) -> int:
    """The version that a message was sent with; 1 where its headers say none, or nothing that is a version."""
    text = None if headers is None else headers.get(VERSION_HEADER)
    return 1 if text is None or not (text.isascii() and text.isdecimal()) else int(text)


def message_type_of(message: object) -> MessageType:
    """The declaration of a message or message class; raises MessageNotDeclared when that very class has none."""
    cls = message if isinstance(message, type) else type(message)
    # The class's own attribute only: a subclass has other fields and must not travel under its parent's name.
    declared = cls.__dict__.get("__sagabus_message__")
    if isinstance(declared, MessageType):
        return declared
    raise MessageNotDeclared(cls.__qualname__)


class Registry:
    """The messages one bus knows, by wire name. Names from the wire resolve here and nowhere else."""

    __slots__ = ("_types",)

    def __init__(self) -> None:
        self._types: dict[str, MessageType] = {}

    def add(self, cls: type[object]) -> MessageType:
        """Make a declared class known; twice is harmless. Raises ConfigurationError when another class has its name."""
        added = message_type_of(cls)
        for name in added.names:
            known = self._types.setdefault(name, added)
            if known.cls is not added.cls:
                raise ConfigurationError(
                    f"message name {name!r} is used by two classes: {_path(known.cls)} and {_path(cls)}"
                )
        return added

    def get(self, name: str) -> MessageType:
        """The message of this wire name; raises UnknownMessageType when none was added."""
        try:
            return self._types[name]
        except KeyError:
            raise UnknownMessageType(name) from None


def field_names(message_type: MessageType) -> tuple[str, ...]:
    """The attribute names of the message, in order of declaration."""
    return tuple(name for name, _ in _fields(message_type))


def required_field_names(message_type: MessageType) -> tuple[str, ...]:
    """The attribute names a message cannot be without, in order of declaration."""
    return tuple(name for name, required in _fields(message_type) if required)


def get_field(message: object, name: str) -> object:
    """The value of one field; raises ConfigurationError when the message has no such field."""
    try:
        return getattr(message, name)
    except AttributeError:
        raise ConfigurationError(f"{_path(type(message))} has no field {name!r}") from None


class _ModelField(Protocol):
    def is_required(self) -> bool: ...


def _declaring(name: object, kind: Kind, options: MessageOptions) -> Callable[[type[T]], type[T]]:
    if not isinstance(name, str):
        example = "orders.submitted" if kind == "event" else "orders.submit"
        given = getattr(name, "__qualname__", repr(name))
        raise ConfigurationError(f'@{kind} needs a name for the wire, such as @{kind}("{example}"), before {given}')
    aliases = options.get("aliases", ())
    if not is_names(aliases):
        raise ConfigurationError(f"@{kind}({name!r}): aliases must be a list of names, not {aliases!r}")
    problems = [
        f"message name {each!r} must be 1 to 128 of A-Z a-z 0-9 _ . - and begin with a letter"
        for each in (name, *aliases)
        if not _WIRE_NAME.fullmatch(each)
    ]
    problems += [
        f"@{kind}({name!r}) has no option {option!r}{known_names(option, _OPTIONS)}"
        for option in options
        if option not in _OPTIONS
    ]
    if problems:
        raise ConfigurationError(*problems)
    evolution = _evolution(options)

    def declare(cls: type[T]) -> type[T]:
        _refuse_unusable(cls, kind)
        shape = _shape_of(cls)
        if shape is None:
            _make_dataclass(cls)
        lossy = options.get("lossy", False)
        private = options.get("private", False)
        declared = MessageType(name, kind, cls, shape or "dataclass", lossy, tuple(aliases), evolution, private)
        if evolution is not UNCHANGED:
            _check_evolution(declared)
        # Not by plain assignment: it must neither become a field nor be stopped by a metaclass.
        type.__setattr__(cls, "__sagabus_message__", declared)
        type.__setattr__(cls, "__sagabus_names__", visible_names(1))
        return cls

    return declare


_OPTIONS = frozenset(MessageOptions.__annotations__)


def _evolution(options: MessageOptions) -> Evolution:
    if not options.keys() & {"version", "upcast", "renamed"}:
        return UNCHANGED
    return Evolution(
        version=options.get("version", 1), upcast=options.get("upcast", {}), renamed=options.get("renamed", {})
    )


def _check_evolution(declared: MessageType) -> None:
    problems = [f"message {declared.name!r}: {text}" for text in declared.evolution.problems(field_names(declared))]
    if problems:
        raise ConfigurationError(*problems)


def _refuse_unusable(cls: object, kind: Kind) -> None:
    if not isinstance(cls, type):
        raise ConfigurationError(f"{cls!r} cannot be a message: @event and @command go on a class")
    if "__sagabus_message__" in cls.__dict__:
        raise ConfigurationError(f"{_path(cls)} is declared twice, as {message_type_of(cls).name!r} and again")
    if issubclass(cls, _NOT_PLAIN):
        raise ConfigurationError(
            f"{_path(cls)} cannot be a message: derive from nothing, a dataclass, a Struct or a pydantic model"
        )
    other = Command if kind == "event" else Event
    if issubclass(cls, other):
        raise ConfigurationError(
            f"{_path(cls)} derives from {other.__name__}, but @{kind} declares it: change the base or the decorator"
        )


def _shape_of(cls: type[object]) -> Shape | None:
    """Who made the class; None when it is still to become a dataclass."""
    if hasattr(cls, "__struct_fields__"):
        return "struct"
    # By attribute, not by import: pydantic is optional and slow to load.
    if hasattr(cls, "model_validate_json"):
        return "pydantic"
    # The class's own: a plain subclass of a dataclass still has to be made one, or its fields would be lost.
    return "dataclass" if "__dataclass_fields__" in cls.__dict__ else None


def _make_dataclass(cls: type[object]) -> None:
    if "__init__" in cls.__dict__:
        raise ConfigurationError(f"{_path(cls)} has its own __init__: declare its fields as annotations instead")
    become_dataclass(cls, _path(cls), frozen=True)


def _fields(message_type: MessageType) -> list[tuple[str, bool]]:
    cls = message_type.cls
    if message_type.shape == "struct":
        # Loaded here, so that declaring messages does not need the codec's library.
        import msgspec

        struct = cast("type[msgspec.Struct]", cls)
        return [(field.name, field.required) for field in msgspec.structs.fields(struct)]
    if message_type.shape == "pydantic":
        model_fields: dict[str, _ModelField] = getattr(cls, "model_fields")  # noqa: B009 - the class is known by shape only
        return [(name, field.is_required()) for name, field in model_fields.items()]
    return [(field.name, _has_no_default(field)) for field in dataclasses.fields(cast(Any, cls))]


def _has_no_default(field: "dataclasses.Field[object]") -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _path(cls: type[object]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
