"""Long-running processes as classes: the body is the state, the methods are the reactions.

The class stays an ordinary dataclass whose methods can be called in a unit test with any context. `saga_reader` reads
it once, while a bus is built.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, Unpack, dataclass_transform

from sagabus.definitions.handler import require_name
from sagabus.definitions.reaction import Reaction, When
from sagabus.definitions.saga_fields import adopt_mixins, check_assignable
from sagabus.definitions.saga_options import SagaKeywords, SagaOptions, options_of
from sagabus.errors import ConfigurationError
from sagabus.evolution import is_names
from sagabus.introspection.local_names import visible_names
from sagabus.message.correlation import KeySpec
from sagabus.message.declared_class import become_dataclass, is_plain_attribute
from sagabus.policies.deduplication import Deduplication
from sagabus.policies.retry import RetryPolicy

STUCK = "sagabus:stuck"
"""What the reaction to a stuck instance is called among its timers. No timer of the user's can have such a name."""
F = TypeVar("F", bound=Callable[..., Any])
Status: TypeAlias = str | enum.Enum
Starter: TypeAlias = "Callable[[object, str], Saga]"
"""Makes the state of a new instance, of a message and its key."""
WhenSpec: TypeAlias = Status | tuple[Status, ...] | list[Status] | set[Status] | frozenset[Status] | When


@dataclass_transform(kw_only_default=True)
class Saga:
    """Derive from this: `class OrderSaga(Saga, name="orders", key="order_id")`.

    The annotated names of the body (and of mixins) become the fields of a dataclass: the state, stored as JSON. Methods
    with `@starts`, `@handles` and `@timer` are its reactions. `key` names the field of every message (or is a function
    of it) whose value tells the instance. Assigning an undeclared attribute raises ConfigurationError. Properties may
    be assigned, and so may names that begin with an underscore, which are not stored.

    `on_missing` applies to a message that finds no live instance and starts none. `on_finished` applies to a finished
    instance, and `on_unexpected` to one whose `when` does not hold. Each is "stash" (until the saga starts or changes,
    at most `patience`, then dead letter), "ignore" (counted and logged), or "dead-letter". Each takes one of these, or
    a mapping from message classes to them. A message whose key is None or empty names no instance: by `on_no_key` this
    saga dead-letters or ignores it. `restart=True` lets a starting message start a finished instance again.
    `history=True` keeps a row of each transition. A run whose state would be read as another one fails with
    StateInvalid, unless the saga says `lossy=True`. `retry`, `deduplication`, `parks` and `timeout` are as for
    `@handler`; a method may have a `timeout` of its own.

    `stuck_after` says how long a live instance may go without a change: a timedelta, or one for each status. One that
    goes longer is stuck. It counts in metrics and health, and `on_stuck="dead-letter"` keeps a dead letter for it. A
    method with `@stuck` reacts to it instead.

    For states of older releases: `version`, with `upcast` functions from the stored mapping of one version to the
    next; `renamed` fields; `dropped` fields. All other fields that the class does not have are carried along.
    """

    __sagabus_saga__: ClassVar[SagaOptions | None] = None
    __sagabus_names__: ClassVar[Mapping[str, Any]] = {}
    __sagabus_fields__: ClassVar[frozenset[str]] = frozenset()
    __sagabus_plain__: ClassVar[frozenset[str]] = frozenset()

    if not typing.TYPE_CHECKING:  # checkers shall go on to report what is not declared

        def __setattr__(self, name: str, value: object) -> None:
            if name in self.__sagabus_plain__:
                self.__dict__[name] = value  # as `object` would store it, in half of the time (measured)
                return
            if name not in self.__sagabus_fields__:
                check_assignable(self, name, self.__sagabus_fields__)
            object.__setattr__(self, name, value)

    def __init_subclass__(cls, *, name: str | None = None, **options: Unpack[SagaKeywords]) -> None:
        super().__init_subclass__()
        if name is None and options:
            raise ConfigurationError(f'{cls.__qualname__}: give the saga a name="..." with its other options')
        cls.__sagabus_saga__ = options_of(cls.__qualname__, name, options) if name is not None else None
        cls.__sagabus_names__ = visible_names(1)
        adopt_mixins(cls)
        become_dataclass(cls, f"saga {cls.__qualname__}", kw_only=True, setter=Saga.__setattr__)
        cls.__sagabus_fields__ = frozenset(each.name for each in dataclasses.fields(cls))  # type: ignore[arg-type]  # now it is one
        cls.__sagabus_plain__ = frozenset(name for name in cls.__sagabus_fields__ if is_plain_attribute(cls, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaDefinition:
    """A saga as the bus runs it."""

    name: str
    cls: type[Saga]
    reactions: Mapping[str, tuple[Reaction, ...]]
    """By wire name; of several the first whose `when` holds."""
    starting: Mapping[str, Reaction]
    """By wire name, the reaction that begins an instance."""
    given: Mapping[str, tuple[str, ...]]
    """By wire name of a starting message, the fields of the state that it gives."""
    timers: Mapping[str, Reaction]
    options: SagaOptions
    has_status: bool
    statuses: frozenset[str] | None
    """Every status that it may have; None where any text may be one, or where it has none."""
    stuck_after: Mapping[str | None, int]
    """For each status, how long an instance may go without a change, in microseconds; None stands for any status."""
    waits_by_status: bool
    """Every `when` is a status: only a change of it can make a stashed message welcome."""
    retry: RetryPolicy
    deduplication: Deduplication | None
    ordered: bool
    parks: bool
    has_instances: ClassVar[bool] = True

    def longest_stay(self, status: str | None) -> int | None:
        """How long an instance may go without a change in this status, in microseconds; None for ever."""
        return self.stuck_after.get(status, self.stuck_after.get(None))

    @property
    def acts_on_stuck(self) -> bool:
        """Whether a stuck instance gets a run or a dead letter, and not an alarm alone."""
        return STUCK in self.timers or self.options.on_stuck != "alarm"

    def names_of_timer(self, name: str) -> list[str]:
        """The names under which one timer may be set: this one, and those that it has in other releases."""
        reaction = self.timers.get(name)
        return [name] if reaction is None else [other for other, each in self.timers.items() if each is reaction]

    def start(self, message_type: str, message: object, key: str) -> Saga:
        """The state of a new instance: from `initial(message)` if there is one, else the message's fields by name."""
        return self.starter(message_type)(message, key)

    def starter(self, message_type: str) -> Starter:
        """The same for all messages of one type."""
        cls, initial = self.cls, getattr(self.cls, "initial", None)
        if initial is not None:
            return lambda message, _: initial(message)
        names, key_name = self.given[message_type], self.options.key
        given_key = key_name if isinstance(key_name, str) and key_name in fields_of(cls) else None

        def start(message: object, key: str) -> Saga:
            values = {name: getattr(message, name) for name in names}
            if given_key is not None and given_key not in values:
                values[given_key] = key
            return cls(**values)

        return start


def fields_of(cls: type[Saga]) -> Mapping[str, dataclasses.Field[Any]]:
    """The fields of a saga's state by name, inherited ones among them."""
    found: Mapping[str, dataclasses.Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a decorator says of a method."""

    kind: Literal["starts", "handles", "timer"]
    when: WhenSpec | None = None
    key: KeySpec | None = None
    timer: str | None = None
    aliases: tuple[str, ...] = ()
    thread: bool = False
    timeout: timedelta | None = None


@typing.overload
def starts(function: F) -> F: ...
@typing.overload
def starts(
    *,
    when: WhenSpec | None = None,
    key: KeySpec | None = None,
    thread: bool = False,
    timeout: timedelta | None = None,
) -> Callable[[F], F]: ...
def starts(
    function: Any = None,
    *,
    when: WhenSpec | None = None,
    key: KeySpec | None = None,
    thread: bool = False,
    timeout: timedelta | None = None,
) -> Any:
    """This method's message begins an instance where there is none; a live one receives it like any other."""
    return _marked(function, Mark(kind="starts", when=when, key=key, thread=thread, timeout=timeout))


@typing.overload
def handles(function: F) -> F: ...
@typing.overload
def handles(
    *,
    when: WhenSpec | None = None,
    key: KeySpec | None = None,
    thread: bool = False,
    timeout: timedelta | None = None,
) -> Callable[[F], F]: ...
def handles(
    function: Any = None,
    *,
    when: WhenSpec | None = None,
    key: KeySpec | None = None,
    thread: bool = False,
    timeout: timedelta | None = None,
) -> Any:
    """This method reacts to its message on a live instance, while `when` holds: one status, several, or a predicate of
    the state.

    `key` overrides the saga's key for this message: another field, or a function of the message.
    """
    return _marked(function, Mark(kind="handles", when=when, key=key, thread=thread, timeout=timeout))


def timer(name: str, *, timeout: timedelta | None = None, aliases: Sequence[str] = ()) -> Callable[[F], F]:
    """This method reacts to the timer that `ctx.set_timer(name, …)` set, unless it was replaced or cancelled.

    `aliases`: names that the timer had in older releases. Setting or cancelling it replaces or cancels those, too.
    """
    require_name("timer", name, "reminder")
    if not is_names(aliases):
        raise ConfigurationError(f"@timer({name!r}): aliases must be a list of names, not {aliases!r}")
    mark = Mark(kind="timer", timer=name, timeout=timeout, aliases=tuple(aliases))

    def apply(function: F) -> F:
        return typing.cast("F", _marked(function, mark))

    return apply


def stuck(function: F) -> F:
    """This method reacts to an instance that is stuck: it has not changed for as long as `stuck_after` allows.

    It runs once for each version of the instance that is stuck, like a timer. After it the time counts from zero.
    """
    return typing.cast("F", _marked(function, Mark(kind="timer", timer=STUCK)))


def _marked(function: Any, mark: Mark) -> Any:
    names = visible_names(2)

    def apply(target: Any) -> Any:
        try:
            target.__sagabus_mark__ = mark
            target.__sagabus_names__ = names
        except AttributeError:
            raise TypeError(
                f"@{mark.kind} takes a method, not a {type(target).__qualname__}: put it directly above the `def`"
            ) from None
        return target

    return apply(function) if function is not None else apply
