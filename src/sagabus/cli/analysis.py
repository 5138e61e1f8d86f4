"""What a bus looks like from outside: who sends what to whom, and which statuses each saga goes through.

Read from the definitions and from the text of the handlers, for `check` and `graph`. It errs to the side of "may
happen": what it says cannot happen, cannot, unless the text does not tell (then that is said).
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MethodType
from typing import TYPE_CHECKING, Any, Literal, cast

from sagabus.cli.facts import Facts, facts_of
from sagabus.cli.paths import ANY_TIMER, Ending, Endings, Mark, endings_of
from sagabus.cli.source import Code, code_of
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import Reaction
from sagabus.definitions.saga import STUCK, SagaDefinition
from sagabus.message import MessageType, field_names

if TYPE_CHECKING:
    from sagabus.bus.broker_views import BrokerViews


@dataclass(frozen=True, slots=True)
class Step:
    """One method of a saga, as the state machine sees it."""

    name: str
    messages: tuple[MessageType, ...]
    timer: str | None
    starts: bool
    when: frozenset[str] | None
    """The statuses in which it runs; None for any, or where a predicate decides."""
    endings: Endings
    facts: Facts

    @property
    def trigger(self) -> str:
        """What makes it run, in a person's words."""
        if self.timer == STUCK:
            return "no change for too long"
        return f"timer {self.timer}" if self.timer is not None else ", ".join(message.name for message in self.messages)

    def runs_at(self, place: Place) -> bool:
        """Whether it may run on a live instance there. A start without `when` is not counted: it is for a new one."""
        if self.timer is not None:
            return self.timer == STUCK or self.timer in place.timers or ANY_TIMER in place.timers
        return place.status in self.when if self.when is not None else not self.starts


@dataclass(frozen=True, slots=True)
class Place:
    """Where a live instance may be between two messages."""

    status: str
    timers: frozenset[str] = frozenset()
    """The timers that may be set then."""


@dataclass(frozen=True, slots=True)
class Move:
    """One step from place to place; None stands for before the beginning, and for after the end."""

    source: Place | None
    target: Place | None
    step: Step
    status: str
    """The status at the end of the step, also of one that completes the saga."""


@dataclass(frozen=True, slots=True)
class SagaShape:
    """One saga: its steps and every move that its text allows."""

    name: str
    statuses: tuple[str, ...]
    """Those that its annotation declares, in order; none where it leaves them open."""
    steps: tuple[Step, ...]
    moves: tuple[Move, ...]
    unresolved: tuple[str, ...]
    """Steps that set a status which only running tells."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place that a live instance may come to."""
        return tuple(dict.fromkeys(move.target for move in self.moves if move.target is not None))


@dataclass(frozen=True, slots=True)
class HandlerShape:
    """One stateless subscription."""

    name: str
    messages: tuple[MessageType, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Topology:
    """All subscriptions of a bus."""

    sagas: tuple[SagaShape, ...]
    handlers: tuple[HandlerShape, ...]
    leaving: Mapping[str, str] = field(default_factory=dict[str, str])
    """The place of the broker by which each message leaves that a subscription sends."""
    coming: Mapping[str, str] = field(default_factory=dict[str, str])
    """The places of the brokers that a subscribed message may come from."""
    private: tuple[str, ...] = ()
    """Messages that stay in the service, though it has a broker."""
    unstamped: tuple[str, ...] = ()
    """Places of brokers whose foreign messages have no time."""

    def receivers(self) -> dict[str, list[str]]:
        """The subscriptions that handle each message."""
        found: dict[str, list[str]] = {}
        for saga in self.sagas:
            _collect(found, saga.name, (message for step in saga.steps for message in step.messages))
        for handler in self.handlers:
            _collect(found, handler.name, handler.messages)
        return found

    def senders(self) -> dict[str, list[str]]:
        """The subscriptions that send each message."""
        found: dict[str, list[str]] = {}
        for saga in self.sagas:
            _collect(found, saga.name, (message for step in saga.steps for message in step.facts.sent))
        for handler in self.handlers:
            _collect(found, handler.name, handler.facts.sent)
        return found

    def sent(self) -> tuple[MessageType, ...]:
        """Every message that a subscription sends."""
        facts = [step.facts for saga in self.sagas for step in saga.steps] + [each.facts for each in self.handlers]
        return tuple(dict.fromkeys(message for fact in facts for message in fact.sent))

    def unresolved(self) -> tuple[str, ...]:
        """Calls whose message is computed at run time."""
        facts = [step.facts for saga in self.sagas for step in saga.steps] + [
            handler.facts for handler in self.handlers
        ]
        return tuple(dict.fromkeys(text for fact in facts for text in fact.unresolved))


def analyse(definitions: Iterable[object], brokers: BrokerViews | None = None) -> Topology:
    """The topology of a bus's definitions, and what passes its brokers."""
    found = list(definitions)
    inside = Topology(
        tuple(_saga(definition) for definition in found if isinstance(definition, SagaDefinition)),
        tuple(_handler(definition) for definition in found if isinstance(definition, HandlerDefinition)),
    )
    return inside if brokers is None or not len(brokers) else _with_brokers(inside, brokers)


def _with_brokers(inside: Topology, brokers: BrokerViews) -> Topology:
    received, leaving, coming = inside.receivers(), dict[str, str](), dict[str, str]()
    sent = inside.sent()
    for message in sent:
        place = brokers.leaves_by(message)
        if place is not None and (message.kind == "event" or message.name not in received):
            leaving[message.name] = place
    for view in brokers:
        for name in (*view.events, *view.commands):
            coming[name] = f"{coming[name]}, {view.place}" if name in coming else view.place
    return dataclasses.replace(
        inside,
        leaving=leaving,
        coming=coming,
        private=tuple(sorted(message.name for message in sent if brokers.leaves_by(message) is None)),
        unstamped=tuple(view.place for view in brokers if not view.stamps),
    )


def _handler(definition: HandlerDefinition) -> HandlerShape:
    messages = tuple(
        dict.fromkeys(r.message_type for (r,) in definition.reactions.values() if r.message_type is not None)
    )
    return HandlerShape(definition.name, messages, facts_of(code_of(definition.function)))


def _saga(definition: SagaDefinition) -> SagaShape:
    by_method: dict[str, list[Reaction]] = {}
    for reaction in [r for found in definition.reactions.values() for r in found] + list(definition.timers.values()):
        by_method.setdefault(reaction.name, []).append(reaction)
    steps = tuple(_step(definition.cls, reactions) for reactions in by_method.values())
    moves = tuple(dict.fromkeys(_moves(steps, _initial(definition))))
    computing = [step.name for step in steps if any(ending.status is Mark.UNRESOLVED for ending in step.endings)]
    unresolved = (["initial"] if Mark.UNRESOLVED in _initial(definition) else []) + computing
    return SagaShape(definition.name, _declared(definition), steps, moves, tuple(unresolved))


def _step(owner: type[object], reactions: list[Reaction]) -> Step:
    first = reactions[0]
    code = code_of(first.function, owner)
    return Step(
        name=first.name,
        messages=tuple(dict.fromkeys(r.message_type for r in reactions if r.message_type is not None)),
        timer=first.timer,
        starts=first.starts,
        when=_when(first),
        endings=endings_of(code),
        facts=facts_of(code),
    )


def _when(reaction: Reaction) -> frozenset[str] | None:
    spec: object = getattr(getattr(reaction.function, "__sagabus_mark__", None), "when", None)
    if spec is None or callable(spec):
        return None
    members = [spec] if isinstance(spec, str) else cast("Iterable[object]", spec)
    return frozenset(filter(None, map(_text, members)))


def _moves(steps: tuple[Step, ...], initial: frozenset[str | Mark]) -> Iterator[Move]:
    waiting: list[Place] = []
    for step in steps:
        for status in initial if step.starts else ():
            for ending in step.endings:
                move = _move(None, step, ending, status)
                if move is not None:
                    waiting += [move.target] if move.target else []
                    yield move
    seen: set[Place] = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        for move in _moves_from(place, steps):
            waiting += [move.target] if move.target else []
            yield move


def _moves_from(place: Place, steps: tuple[Step, ...]) -> Iterator[Move]:
    for step in steps:
        for ending in step.endings if step.runs_at(place) else ():
            move = _move(place, step, ending, place.status)
            if move is not None:
                yield move


def _move(source: Place | None, step: Step, ending: Ending, before: str | Mark) -> Move | None:
    status = before if ending.status is Mark.SAME else ending.status
    if isinstance(status, Mark):
        return None
    kept = (source.timers if source else frozenset[str]()) - {step.timer}
    timers = (kept - ending.timers_cancelled) | ending.timers_set
    return Move(source, None if ending.completed else Place(status, timers), step, status)


def _initial(definition: SagaDefinition) -> frozenset[str | Mark]:
    """The statuses that a new instance may have before its first step; the empty text where a saga has none."""
    if not definition.has_status:
        return frozenset({""})
    own: object = inspect.getattr_static(definition.cls, "initial", None)
    if own is not None:
        return _made_by(cast(MethodType, getattr(definition.cls, "initial")), definition)  # noqa: B009 - optional for a saga
    starting = [r.message_type for found in definition.reactions.values() for r in found if r.starts and r.message_type]
    if any("status" in field_names(message) for message in starting):
        return frozenset({Mark.UNRESOLVED})
    return frozenset({_default(definition)})


def _made_by(initial: MethodType, definition: SagaDefinition) -> frozenset[str | Mark]:
    import ast

    function = getattr(initial, "__func__", initial)
    code = Code(function, definition.cls, itself=next(iter(inspect.signature(function).parameters), None))
    calls = [item for item in ast.walk(code.node) if isinstance(item, ast.Call)] if code.node else []
    made = [call for call in calls if code.resolve(call.func) is definition.cls]
    found: set[str | Mark] = set()
    for call in made:
        given = next((keyword.value for keyword in call.keywords if keyword.arg == "status"), None)
        texts = None if given is None else code.texts(given)
        found |= {_default(definition)} if given is None else texts or {Mark.UNRESOLVED}
    return frozenset(found or {Mark.UNRESOLVED})


def _default(definition: SagaDefinition) -> str | Mark:
    field = next(f for f in dataclasses.fields(cast(Any, definition.cls)) if f.name == "status")
    default = _text(field.default)
    return Mark.UNRESOLVED if default is None else default


def _declared(definition: SagaDefinition) -> tuple[str, ...]:
    names: dict[str, object] = {}
    for reactions in definition.reactions.values():
        names |= getattr(reactions[0].function, "__sagabus_names__", {})
    try:
        hint = typing.get_type_hints(definition.cls, localns=names or None).get("status")
    except Exception:  # noqa: BLE001 - annotations are the user's text; without them the statuses are open
        return ()
    members = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    members = tuple(hint) if isinstance(hint, type) and issubclass(hint, Enum) else members
    return tuple(filter(None, map(_text, members)))


def _text(value: object) -> str | None:
    value = cast(object, value.value) if isinstance(value, Enum) else value
    return value if isinstance(value, str) else None


def _collect(found: dict[str, list[str]], name: str, messages: Iterable[MessageType]) -> None:
    for message in messages:
        names = found.setdefault(message.name, [])
        names += [] if name in names else [name]
