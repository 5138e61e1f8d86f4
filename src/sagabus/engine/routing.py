"""From a message to the channels that receive it: the store's subscriptions, joined with the definitions at hand.

The table belongs to the store, so a process that only publishes routes like all others. Each answer is of one version.
The store refuses envelopes addressed under an older one, and the sender addresses them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import msgspec

from sagabus.clock import micros
from sagabus.codec import Writer
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import declared
from sagabus.definitions.saga import SagaDefinition
from sagabus.envelope import lane_of
from sagabus.message import MessageType
from sagabus.message.correlation import KeyOf, field_reader
from sagabus.policies.brokers import is_more_specific, matches
from sagabus.policies.deduplication import DeduplicationRules
from sagabus.refs import KeyLike
from sagabus.store import Routed, Routing, Subscription

_OF_BRIDGES = "broker:"
"""Channels of bridges begin with it. No handler can have such a name."""
BROKER_OUT = "broker:out"
"""The channel of what leaves the service. It subscribes to patterns of types: it receives every event that matches, and
each command that matches and no other channel receives. A second broker's has its name behind a colon."""
BROKER_IN = "broker:in"
"""The channel of what came from a broker and cannot be addressed."""
_STRANGE = "?"
"""Stands for what no subscription receives. No message can have such a type."""
_KEPT = "!"
"""Before a pattern of types that stay in the service."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """One channel that receives a message type."""

    channel: str
    key: KeyOf | None
    """Reads the partition key from the message; None where the sender's counts (or none)."""
    remote: bool
    """Only the subscriber can evaluate the key: it is left open here."""
    guarded: bool
    """Copies by message id are dropped where it enters."""
    leaves: bool = False
    """A bridge takes it to a broker."""


class Plain(msgspec.Struct, frozen=True, gc=False):
    """A message class whose messages need no more than an address: one receiver, and nothing to add to the headers."""

    name: str
    kind: str
    channel: str
    key: KeyOf | None
    remote: bool
    lanes: int
    write: Writer
    """Makes its body."""


class Leaving:
    """By which channel messages leave the service, if by any. The most specific pattern decides."""

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._rules: dict[str, tuple[Route, ...]] = {}
        self._found: dict[str, tuple[Route, ...]] = {}
        for each in subscriptions:
            if each.channel == BROKER_IN:
                if each.message_type.startswith(_KEPT):
                    self._rules[each.message_type.removeprefix(_KEPT)] = ()
            else:
                route = Route(each.channel, None, remote=False, guarded=each.deduplicated, leaves=True)
                self._rules.setdefault(each.message_type, (route,))

    def of(self, name: str) -> tuple[Route, ...]:
        """The one route of a type, or none."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._route(name)
        return found

    def _route(self, name: str) -> tuple[Route, ...]:
        best: str | None = None
        for pattern in self._rules:
            if matches(pattern, name) and (best is None or is_more_specific(pattern, best)):
                best = pattern
        return () if best is None else self._rules[best]


class RoutingTable:
    """The routes at one version of the store's routing."""

    def __init__(self, routing: Routing, keys: Mapping[KeyLike, KeyOf]) -> None:
        self.version = routing.version
        self.lanes = max(routing.lanes, 1)
        self.by_type: dict[str, tuple[Route, ...]] = {}
        """The channels that receive each type that any of the store's own receives."""
        self.leaving = Leaving(each for each in routing.subscriptions if is_of_bridge(each))
        """The channels of bridges."""
        self.plain: dict[type[object], Plain] = {}
        """The plain messages, as far as they have been sent under this routing."""
        events: set[str] = set()
        for subscription in routing.subscriptions:
            if is_of_bridge(subscription):
                continue
            name, route = subscription.message_type, _route(subscription, keys)
            self.by_type[name] = (*self.by_type.get(name, ()), route)
            if subscription.kind == "event":
                events.add(name)
        self.by_type.update({name: (*self.by_type[name], *self.leaving.of(name)) for name in events})

    def routes(self, message_type: MessageType) -> tuple[Route, ...]:
        """The channels that receive a message of a type."""
        found = self.by_type.get(message_type.name) or self.leaving.of(message_type.name)
        return tuple(route for route in found if not route.leaves) if message_type.private else found

    def lane(self, key: str) -> int:
        """The lane of a key: the same in every process and release."""
        return lane_of(key, self.lanes)


class LiveRouting:
    """The routing that this process addresses by: the one owner of it, whom all others ask."""

    def __init__(self, keys: Mapping[KeyLike, KeyOf]) -> None:
        """`keys`: what this process reads a key by, for its own subscriptions and their types."""
        self._keys = keys
        self._latest: Routing | None = None
        self._other: tuple[Routing, RoutingTable] | None = None
        self.table = RoutingTable(Routing(0, 1, ()), keys)
        """The routes at the latest version that this process knows."""

    def learn(self, routing: Routing) -> None:
        """Address under this routing from now on."""
        self.table = RoutingTable(routing, self._keys)
        self._latest = routing

    @property
    def paused(self) -> frozenset[str]:
        """The channels of which no worker begins a message, as far as this process knows."""
        return frozenset(() if self._latest is None else self._latest.paused)

    async def refresh(self, store: Routed) -> None:
        """Learn the routing that the store has now."""
        routing = await store.routing()
        if routing != self._latest:
            self.learn(routing)

    def table_of(self, routing: Routing) -> RoutingTable:
        """The routes of a routing that a transaction of the caller's sees, which need not be the latest."""
        if self._latest is not None and routing.version == self._latest.version:
            return self.table
        if self._other is None or self._other[0] is not routing:
            self._other = (routing, RoutingTable(routing, self._keys))
        return self._other[1]


def routes_stored(routing: Routing) -> RoutingTable:
    """The routes of a routing, for a look at them: without the functions that read keys, they address no message."""
    return RoutingTable(routing, {})


def subscriptions_of(
    definition: HandlerDefinition | SagaDefinition, rules: DeduplicationRules, retention: timedelta
) -> list[Subscription]:
    """What a definition asks the store to deliver to its channel."""
    window = micros(rules.window(definition.name, definition.reactions, retention))
    found: list[Subscription] = []
    for name, (first, *_) in definition.reactions.items():
        message_type = declared(first)
        found.append(
            Subscription(
                message_type=name,
                channel=definition.name,
                kind=message_type.kind,
                key=first.key_field,
                keyed=first.key is not None,
                window=window,
                deduplicated=rules.is_guarded(definition.name, name),
            )
        )
    return found


def bridge_subscriptions(patterns: Iterable[tuple[str, str | None]], retention: timedelta) -> list[Subscription]:
    """What bridges ask the store to deliver: what leaves, and a channel for what cannot be addressed.

    `patterns`: each with the channel by which its types leave; None for types that stay.
    """
    pairs = [(_STRANGE, BROKER_IN)]
    pairs += [(name, channel) if channel is not None else (_KEPT + name, BROKER_IN) for name, channel in patterns]
    window = micros(retention)
    return [Subscription(message_type=name, channel=channel, kind="event", window=window) for name, channel in pairs]


def is_of_bridge(subscription: Subscription) -> bool:
    """Whether a bridge has asked for it."""
    return subscription.channel.startswith(_OF_BRIDGES)


def received(routing: Routing, kind: str) -> tuple[str, ...]:
    """The types of one kind that the subscriptions of a store receive, those of its bridges left out."""
    return tuple(
        sorted({each.message_type for each in routing.subscriptions if each.kind == kind and not is_of_bridge(each)})
    )


def _route(subscription: Subscription, keys: Mapping[KeyLike, KeyOf]) -> Route:
    known = keys.get((subscription.channel, subscription.message_type))
    if known is None and subscription.key is not None:
        known = field_reader(subscription.message_type, subscription.key)
    is_remote = subscription.keyed and known is None
    return Route(subscription.channel, known, is_remote, subscription.deduplicated)


def receivers_problem(message_type: MessageType, routes: tuple[Route, ...]) -> str | None:
    """Why a command cannot be sent, if it cannot."""
    if message_type.kind != "command" or len(routes) == 1:
        return None
    if not routes:
        return (
            f"no subscription receives the command {message_type.name!r}: "
            "start a bus with its handler or saga on this store once"
        )
    names = ", ".join(sorted(route.channel for route in routes))
    return f"the command {message_type.name!r} has {len(routes)} receivers: {names}"
