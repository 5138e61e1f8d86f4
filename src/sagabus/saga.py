"""Long-running processes as classes: the body is the state, the methods are the reactions.

The class stays an ordinary dataclass whose methods can be called in a unit test with any context. `define_saga` reads
it once, while a bus is built, and reports all that is wrong with it.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, dataclass_transform

from sagabus.correlation import KeySpec, key_reader
from sagabus.deduplication import Deduplication
from sagabus.handler import check_name
from sagabus.message import MessageType, field_names
from sagabus.reaction import Reaction, When, declared, invoker, read_signature, timers_set_by, visible_names
from sagabus.retry import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])
Policy: TypeAlias = Literal["stash", "ignore", "dead-letter"]
WhenSpec: TypeAlias = str | tuple[str, ...] | list[str] | set[str] | frozenset[str] | When


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaOptions:
    """What the class was given beside its body."""

    name: str
    key: KeySpec | None = None
    on_missing: Policy = "stash"
    on_finished: Policy = "ignore"
    on_unexpected: Policy = "dead-letter"
    patience: timedelta = timedelta(hours=1)
    restart: bool = False
    history: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    deduplication: Deduplication | None = None
    ordered: bool = True
    parks: bool = False


@dataclass_transform(kw_only_default=True)
class Saga:
    """Derive from this: `class OrderSaga(Saga, name="orders", key="order_id")`.

    The annotated names of the body become the fields of a dataclass (the state, stored as JSON); methods with
    `@starts`, `@handles` and `@timer` are its reactions. `key` names the field of every message (or is a function of
    it) whose value tells the instance.

    What happens to a message that finds no live instance and starts none (`on_missing`), a finished one
    (`on_finished`), or one whose `when` does not hold (`on_unexpected`): "stash" it for the saga to start or change (at
    most `patience`, then dead letter), "ignore" it (counted and logged), or "dead-letter" it. `restart=True` lets a
    starting message begin a finished instance anew; `history=True` keeps a row of each transition. `retry`,
    `deduplication` and `parks` are as for `@handler`.
    """

    __sagabus_saga__: ClassVar[SagaOptions | None] = None

    def __init_subclass__(cls, *, name: str | None = None, **options: Any) -> None:
        super().__init_subclass__()
        cls.__sagabus_saga__ = SagaOptions(name=name, **options) if name is not None else None
        if name is None and options:
            raise TypeError(f"{cls.__qualname__}: give the saga a name=... beside its other options")
        dataclass(kw_only=True)(cls)


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
    waits_by_status: bool
    """Every `when` is a status: only a change of it can make a stashed message welcome."""
    retry: RetryPolicy
    deduplication: Deduplication | None
    ordered: bool
    parks: bool

    def start(self, message_type: str, message: object, key: str) -> Saga:
        """The state of a new instance: from `initial(message)` if there is one, else the message's fields by name."""
        initial = getattr(self.cls, "initial", None)
        if initial is not None:
            started: Saga = initial(message)
            return started
        values = {name: getattr(message, name) for name in self.given[message_type]}
        key_name = self.options.key
        if isinstance(key_name, str) and key_name not in values and key_name in fields_of(self.cls):
            values[key_name] = key
        return self.cls(**values)


def fields_of(cls: type[Saga]) -> Mapping[str, dataclasses.Field[Any]]:
    """The fields of a saga's state by name, inherited ones among them."""
    found: Mapping[str, dataclasses.Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What a decorator says of a method."""

    kind: Literal["starts", "handles", "timer"]
    when: WhenSpec | None = None
    key: KeySpec | None = None
    timer: str | None = None
    thread: bool = False


@typing.overload
def starts(function: F) -> F: ...
@typing.overload
def starts(*, when: WhenSpec | None = None, key: KeySpec | None = None, thread: bool = False) -> Callable[[F], F]: ...
def starts(
    function: Any = None, *, when: WhenSpec | None = None, key: KeySpec | None = None, thread: bool = False
) -> Any:
    """This method's message begins an instance where there is none; a live one receives it like any other."""
    return _marked(function, _Mark(kind="starts", when=when, key=key, thread=thread))


@typing.overload
def handles(function: F) -> F: ...
@typing.overload
def handles(*, when: WhenSpec | None = None, key: KeySpec | None = None, thread: bool = False) -> Callable[[F], F]: ...
def handles(
    function: Any = None, *, when: WhenSpec | None = None, key: KeySpec | None = None, thread: bool = False
) -> Any:
    """This method reacts to its message on a live instance, while `when` holds: one status, several, or a predicate of
    the state.

    `key` overrides the saga's key for this message: another field, or a function of the message.
    """
    return _marked(function, _Mark(kind="handles", when=when, key=key, thread=thread))


def timer(name: str) -> Callable[[F], F]:
    """This method reacts to the timer that `ctx.set_timer(name, …)` set, unless it was replaced or cancelled."""
    mark = _Mark(kind="timer", timer=name)

    def apply(function: F) -> F:
        return typing.cast("F", _marked(function, mark))

    return apply


def _marked(function: Any, mark: _Mark) -> Any:
    names = visible_names(2)

    def apply(target: Any) -> Any:
        target.__sagabus_mark__ = mark
        target.__sagabus_names__ = names
        return target

    return apply(function) if function is not None else apply


def define_saga(cls: type[Saga], problems: list[str]) -> SagaDefinition | None:
    """The definition of a saga class; None, and every reason in `problems`, when it cannot be one."""
    options = cls.__sagabus_saga__
    if options is None:
        problems.append(f'saga {cls.__qualname__} has no name: class {cls.__name__}(Saga, name="...")')
        return None
    where = f"saga {options.name!r} ({cls.__qualname__})"
    before = len(problems)
    check_name(options.name, where, problems)
    reader = _Reader(cls, options, where, problems)
    reader.read()
    if len(problems) > before:
        return None
    return SagaDefinition(
        name=options.name,
        cls=cls,
        reactions={name: tuple(found) for name, found in reader.reactions.items()},
        starting=reader.starting(),
        given=reader.given(),
        timers=reader.timers,
        options=options,
        has_status="status" in reader.fields,
        waits_by_status="status" in reader.fields and not reader.has_predicates,
        retry=options.retry,
        deduplication=options.deduplication,
        ordered=options.ordered,
        parks=options.parks,
    )


class _Reader:
    """Reads one saga class and notes every problem."""

    def __init__(self, cls: type[Saga], options: SagaOptions, where: str, problems: list[str]) -> None:
        self.reactions: dict[str, list[Reaction]] = {}
        self.timers: dict[str, Reaction] = {}
        self.fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # made one at its definition
        self._cls = cls
        self.has_predicates = False
        self._keys: dict[str, KeySpec] = {}
        self._options = options
        self._where = where
        self._problems = problems

    def read(self) -> None:
        """Read all methods, then what only shows over all of them."""
        self._check_options()
        for name, function, mark in _marked_methods(self._cls):
            where = f"{self._where}.{name}"
            if mark.kind == "timer":
                self._read_timer(where, name, function, mark)
            else:
                self._read_method(where, name, function, mark)
        self._check_starts()
        self._check_timers_set()

    def starting(self) -> dict[str, Reaction]:
        """The reaction of each message type that begins an instance."""
        found = {name: next((r for r in reactions if r.starts), None) for name, reactions in self.reactions.items()}
        return {name: reaction for name, reaction in found.items() if reaction is not None}

    def given(self) -> dict[str, tuple[str, ...]]:
        """The fields of the state that each starting message gives."""
        mine = [name for name, f in self.fields.items() if f.init]
        return {
            name: tuple(field for field in mine if field in field_names(reaction.message_type))
            for name, reaction in self.starting().items()
            if reaction.message_type is not None
        }

    def _check_options(self) -> None:
        options = self._options
        for setting in ("on_missing", "on_finished", "on_unexpected"):
            allowed = ("ignore", "dead-letter") if setting == "on_finished" else typing.get_args(Policy)
            if getattr(options, setting) not in allowed:
                self._problem(f"{setting} must be one of {', '.join(allowed)}, not {getattr(options, setting)!r}")
        for setting in ("restart", "history"):
            if not isinstance(getattr(options, setting), bool):
                self._problem(f"{setting} must be True or False, not {getattr(options, setting)!r}")
        if options.patience <= timedelta(0):
            self._problem("patience must be longer than nothing")
        if not options.ordered:
            self._problem("a saga is always handled in order; ordered=False is for handlers")

    def _read_timer(self, where: str, name: str, function: Callable[..., Any], mark: _Mark) -> None:
        signature = read_signature(function, where, self._problems, method=True)
        timer_name = mark.timer or name
        if signature.message_types:
            self._problems.append(f"{where}: a timer method takes ctx only, no message")
        if timer_name in self.timers:
            self._problems.append(f"{where}: timer {timer_name!r} is handled twice")
        self.timers[timer_name] = Reaction(
            name=name,
            invoke=invoker(signature.arguments, function, method=True),
            is_async=inspect.iscoroutinefunction(inspect.unwrap(function)),
            wants_connection="connection" in signature.arguments,
            connection_kind=signature.connection_kind,
            timer=timer_name,
            function=function,
        )

    def _read_method(self, where: str, name: str, function: Callable[..., Any], mark: _Mark) -> None:
        signature = read_signature(function, where, self._problems, method=True)
        if not signature.message_types:
            if "message" not in signature.arguments:
                self._problems.append(f"{where}: takes no message; annotate its first parameter with a message class")
            return
        is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        if mark.thread and is_async:
            self._problems.append(f"{where}: thread=True is for plain methods; this one is async")
        when = self._when(where, mark.when)
        for message_type in signature.message_types:
            spec = self._key(where, message_type, mark)
            if spec is None:
                continue
            reaction = Reaction(
                name=name,
                invoke=invoker(signature.arguments, function, method=True),
                is_async=is_async,
                message_type=message_type,
                wants_connection="connection" in signature.arguments,
                connection_kind=signature.connection_kind,
                in_thread=mark.thread,
                key=key_reader(message_type, spec),
                key_field=spec if isinstance(spec, str) else None,
                starts=mark.kind == "starts",
                when=when,
                when_text=_when_text(mark.when),
                function=function,
            )
            self._add(where, reaction)

    def _add(self, where: str, reaction: Reaction) -> None:
        name = declared(reaction).name
        others = self.reactions.setdefault(name, [])
        if any(other.when is None for other in others):
            self._problems.append(
                f"{where}: message {name!r} is handled before by a method without `when`; this one could never run"
            )
        others.append(reaction)

    def _key(self, where: str, message_type: MessageType, mark: _Mark) -> KeySpec | None:
        spec = mark.key if mark.key is not None else self._options.key
        if spec is None:
            self._problems.append(f'{where}: no key: give the saga key="field", or this method key=...')
        elif isinstance(spec, str) and spec not in field_names(message_type):
            self._problems.append(
                f"{where}: message {message_type.name!r} has no field {spec!r} to correlate by "
                f"(it has {', '.join(field_names(message_type)) or 'none'}); name another with key=..."
            )
            return None
        if spec is not None and self._keys.setdefault(message_type.name, spec) != spec:
            self._problems.append(f"{where}: message {message_type.name!r} has two different keys in one saga")
        return spec

    def _when(self, where: str, spec: WhenSpec | None) -> When | None:
        if spec is None or callable(spec):
            self.has_predicates = self.has_predicates or spec is not None
            return spec
        wanted = frozenset((spec,) if isinstance(spec, str) else spec)
        known = self._statuses()
        if "status" not in self.fields:
            self._problems.append(f"{where}: when={spec!r} needs a field `status` in the saga")
        elif known and not wanted <= known:
            unknown = ", ".join(sorted(map(repr, wanted - known)))
            self._problems.append(
                f"{where}: status {unknown} is not among those of the saga: {', '.join(sorted(known))}"
            )
        return lambda state: state.status in wanted

    def _statuses(self) -> frozenset[str]:
        try:
            hints = typing.get_type_hints(self._cls, localns=self._names())
        except Exception:  # noqa: BLE001  # reported where the state is first encoded; here it only means "unknown"
            return frozenset()
        hint = hints.get("status")
        return frozenset(typing.get_args(hint)) if typing.get_origin(hint) is Literal else frozenset()

    def _names(self) -> dict[str, Any]:
        return {k: v for _, f, _ in _marked_methods(self._cls) for k, v in getattr(f, "__sagabus_names__", {}).items()}

    def _check_starts(self) -> None:
        starting = [r for found in self.reactions.values() for r in found if r.starts]
        if not starting:
            self._problem("nothing can start it: mark the method of its first message with @starts")
        if hasattr(self._cls, "initial"):
            return
        for reaction in starting:
            message_type = declared(reaction)
            given = {*field_names(message_type), self._options.key}
            missing = [name for name, f in self.fields.items() if _is_required(f) and name not in given]
            if missing:
                self._problem(
                    f"message {message_type.name!r} starts it but does not give {', '.join(missing)}: "
                    "give the field a default, or write `@classmethod def initial(cls, message)`"
                )

    def _check_timers_set(self) -> None:
        for name, function, _ in _marked_methods(self._cls):
            for wanted in timers_set_by(function):
                if wanted not in self.timers:
                    self._problem(f"method {name} sets timer {wanted!r}, which no @timer({wanted!r}) handles")

    def _problem(self, text: str) -> None:
        self._problems.append(f"{self._where}: {text}")


def _marked_methods(cls: type[Saga]) -> Iterator[tuple[str, Callable[..., Any], _Mark]]:
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, value in vars(base).items():
            mark = getattr(value, "__sagabus_mark__", None)
            if isinstance(mark, _Mark) and name not in seen:
                yield name, value, mark
            seen.add(name)


def _is_required(f: dataclasses.Field[Any]) -> bool:
    return f.init and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _when_text(spec: WhenSpec | None) -> str | None:
    if spec is None:
        return None
    if isinstance(spec, str):
        return spec
    if callable(spec):
        return getattr(spec, "__name__", "predicate")
    return "|".join(sorted(spec))
