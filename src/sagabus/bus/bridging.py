"""What a bus with brokers has besides: a bridge to each, their channels, and the checks of what a broker can do."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from sagabus.bus.durability import BrokerDurability
from sagabus.clock import Clock
from sagabus.codec.states import StateCodec
from sagabus.definitions.handler import HandlerDefinition, check_name
from sagabus.definitions.reaction import declared
from sagabus.definitions.reading import Definitions, reactions_of
from sagabus.engine.acceptor import Acceptor
from sagabus.engine.bridges.batching import Batching
from sagabus.engine.bridges.bridge import Bridge
from sagabus.engine.bridges.inbound import Inbound
from sagabus.engine.bridges.outbound import Outbound
from sagabus.engine.bridges.reception import Reception, StrangerConsumer
from sagabus.engine.bridges.wire_format import WireFormat
from sagabus.engine.consumer import Consumer
from sagabus.engine.failure_texts import FailureTexts
from sagabus.engine.processing import Processing
from sagabus.engine.recoverability import Recoverability
from sagabus.engine.routing import BROKER_IN, BROKER_OUT, received
from sagabus.engine.sender import Sender
from sagabus.engine.worker import Worker
from sagabus.errors import ConfigurationError, UnsupportedCapability
from sagabus.identity import Identity, number_of
from sagabus.message import MessageType
from sagabus.policies.brokers import Broker, Brokers, broker_problems, brokers_of, matches
from sagabus.policies.deduplication import DeduplicationRules
from sagabus.settings import Settings
from sagabus.store import Routing, Store
from sagabus.transport import Capability, Topology, Transport
from sagabus.transports import transport_from_url

log = logging.getLogger("sagabus")

_WINDOW = 500
"""How many messages may wait for their confirms."""
_NEEDED = (Capability.ORDERED, Capability.RETURNS)


@dataclass(frozen=True, slots=True)
class Way:
    """One broker of a bus: how messages leave for it, and what comes from it."""

    name: str
    """Empty for the only one."""
    broker: Broker
    transport: Transport

    @property
    def channel(self) -> str:
        """Of what leaves for it."""
        return f"{BROKER_OUT}:{self.name}" if self.name else BROKER_OUT

    def topology(self, service: str, events: Sequence[str], commands: Sequence[str]) -> Topology:
        """What the service asks it for, of the types that it receives."""
        return Topology(service, self._asked(events), self._asked(commands))

    def _asked(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if any(matches(pattern, name) for pattern in self.broker.receives))


def ways_of(transport: Brokers | None, service: object) -> tuple[Way, ...]:
    """The brokers of a bus. ConfigurationError names all problems, that of a service without a name among them."""
    problems: list[str] = []
    if service is not None:
        check_name(service, "Bus(service=...)", problems)
    elif transport is not None:
        problems.append(
            'a bus with a transport needs the name of its service, such as service="orders", which never changes: '
            "other services know its messages by it"
        )
    brokers = {} if transport is None else brokers_of(transport)
    if transport is not None:
        problems += broker_problems(brokers)
    if problems:
        raise ConfigurationError(*problems)
    return tuple(Way(name, broker, _transport(broker.transport)) for name, broker in brokers.items())


def _transport(given: str | Transport) -> Transport:
    return transport_from_url(given) if isinstance(given, str) else given


class Bridging:
    """Makes the bridges of one bus, and what its main worker does for them."""

    def __init__(  # noqa: PLR0917  # all that a bus has made before
        self,
        ways: Sequence[Way],
        sender: Sender,
        defined: Definitions,
        settings: Settings,
        clock: Clock,
        identity: Identity,
    ) -> None:
        self.ways, self._service, self._sender = ways, sender.service or "", sender
        self._clock, self._identity = clock, identity
        self._settings = replace(settings, concurrency=_WINDOW, prefetch=max(settings.prefetch, _WINDOW), timeout=None)
        self._rules, self._private = defined.rules, _private(defined)
        received = _types(defined)
        sender.learn(received.values())
        self._failing = Recoverability(identity, clock, FailureTexts(settings.redact, sender.class_of))
        self._reception = Reception(sender.codec, received, clock)
        for way in ways:
            _check(way.transport, settings)
        self._stranger = StrangerConsumer(
            self._reception, sender.routing, self._failing, patience=settings.unknown_type_wait
        )

    @property
    def consumers(self) -> Mapping[str, Consumer]:
        """What the main worker of the bus runs besides handlers and sagas."""
        return {BROKER_IN: self._stranger} if self.ways else {}

    @property
    def definitions(self) -> Mapping[str, HandlerDefinition]:
        """The same, as a worker knows it."""
        return {BROKER_IN: self._stranger.definition} if self.ways else {}

    @property
    def channels(self) -> list[str]:
        """Those that the bridges need."""
        return [*(way.channel for way in self.ways), BROKER_IN] if self.ways else []

    @property
    def patterns(self) -> list[tuple[str, str | None]]:
        """Patterns of types, each with the channel by which they leave; None for those that stay."""
        kept = [(pattern, None) for way in self.ways for pattern in way.broker.keeps]
        return [*((pattern, way.channel) for way in self.ways for pattern in way.broker.sends), *kept]

    def bridges(self, store: Store, acceptor: Acceptor, states: StateCodec) -> list[Bridge]:
        """The parts that send and take, one for each broker."""
        return [self._bridge(way, store, acceptor, states) for way in self.ways]

    async def renew(self, store: Store) -> None:
        """Give the store another identity: it is a copy."""
        await store.identity(number_of(self._identity.new_id()), renew=True)

    async def wanted(self, way: Way, store: Store, *, keeps: bool = True) -> Topology:
        """What the service asks a broker for now. Without `keeps`, nothing is written into the store."""
        topology = self.topology(way, await store.routing())
        if Capability.STORES not in way.transport.capabilities:
            return topology
        identity = await store.identity(number_of(self._identity.new_id()), keeps=keeps)
        return msgspec.structs.replace(topology, store=identity)

    def topology(self, way: Way, routing: Routing) -> Topology:
        """The same by a routing, without the store. Private messages come from inside."""
        events, commands = (
            [name for name in received(routing, kind) if name not in self._private] for kind in ("event", "command")
        )
        return way.topology(self._service, events, commands)

    def _bridge(self, way: Way, store: Store, acceptor: Acceptor, states: StateCodec) -> Bridge:
        async def topology() -> Topology:
            return await self.wanted(way, store)

        wire_format, place = WireFormat(way.broker.foreign, way.broker.body_codec), way.transport.place
        outbound = Outbound(
            way.channel, self._service, wire_format, self._sender, failing=self._failing, clock=self._clock, place=place
        )
        inbound = Inbound(
            self._service,
            wire_format,
            self._reception,
            acceptor,
            self._sender.routing,
            rules=self._rules,
            observers=self._sender.observers,
            clock=self._clock,
            place=place,
        )
        return Bridge(
            way.transport,
            topology,
            outbound,
            inbound,
            lambda: self._worker(store, way.channel, outbound, states),
            admit=BrokerDurability(place, self._settings.durability).check,
            name=way.name,
            makes=way.broker.declare,
            clock=self._clock,
            identity=self._identity,
        )

    def _worker(self, store: Store, channel: str, outbound: Outbound, states: StateCodec) -> Worker:
        """One that takes what leaves for a broker, for as long as there is a link."""
        processing = Processing(
            self._sender,
            self._sender.codec,
            states,
            clock=self._clock,
            identity=self._identity,
            settings=self._settings,
            middlewares=(),
            rules=DeduplicationRules(),
            consumers={channel: outbound},
            is_watched=False,
        )
        return Worker(
            self._identity.new_id(),
            store,
            self._sender.routing,
            self._sender.codec,
            clock=self._clock,
            processing=processing,
            definitions={channel: outbound.definition},
            settings=self._settings,
            serving=partial(Batching, outbound, self._clock),
        )


def _check(transport: Transport, settings: Settings) -> None:
    """Refuse in words what the broker cannot do."""
    for needed in _NEEDED:
        if needed not in transport.capabilities:
            raise UnsupportedCapability(needed.value, f"the broker {transport.place}")
    if Capability.DURABLE not in transport.capabilities and settings.durability != "accept":
        text = f"the broker {transport.place} does not keep messages when it restarts"
        if settings.durability == "require":
            raise ConfigurationError(f'{text}, and Settings.durability is "require"')
        log.warning("%s: what it has confirmed may be lost", text)


def _types(defined: Definitions) -> dict[str, MessageType]:
    """The messages of all definitions by every name that they have on the wire."""
    types = [declared(each) for definition in defined.by_name.values() for each in reactions_of(definition)]
    return {name: each for each in types for name in each.names}


def _private(defined: Definitions) -> frozenset[str]:
    return frozenset(name for name, each in _types(defined).items() if each.private)
