"""What a bus with a transport has besides: a bridge, its channels, and the checks of what it needs of the broker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from sagabus.bus.durability import BrokerDurability
from sagabus.clock import Clock
from sagabus.codec.states import StateCodec
from sagabus.definitions.handler import HandlerDefinition, check_name
from sagabus.definitions.reaction import declared
from sagabus.definitions.reading import Definitions, reactions_of
from sagabus.engine.acceptor import Acceptor
from sagabus.engine.bridges.bridge import Bridge
from sagabus.engine.bridges.inbound import Inbound
from sagabus.engine.bridges.outbound import Outbound
from sagabus.engine.bridges.reception import Reception, StrangerConsumer
from sagabus.engine.consumer import Consumer
from sagabus.engine.processing import Processing
from sagabus.engine.recoverability import Recoverability
from sagabus.engine.routing import BROKER_IN, BROKER_OUT, received
from sagabus.engine.sender import Sender
from sagabus.engine.worker import Worker
from sagabus.errors import ConfigurationError, UnsupportedCapability
from sagabus.identity import Identity
from sagabus.message import MessageType
from sagabus.policies.deduplication import DeduplicationRules
from sagabus.settings import Settings
from sagabus.store import Store
from sagabus.transport import Capability, Topology, Transport
from sagabus.transports import transport_from_url

log = logging.getLogger("sagabus")

_WINDOW = 500
"""How many messages may wait for their confirms."""
_NEEDED = (Capability.ORDERED, Capability.RETURNS)


def check_service(service: object, transport: object) -> None:
    """ConfigurationError for a name that no service can have, and for a transport without one."""
    problems: list[str] = []
    if service is not None:
        check_name(service, "Bus(service=...)", problems)
    elif transport is not None:
        problems.append(
            'a bus with a transport needs the name of its service, such as service="orders", which never changes: '
            "other services know its messages by it"
        )
    if problems:
        raise ConfigurationError(*problems)


class Bridging:
    """Makes the bridge of one bus, and what its main worker does for the bridge."""

    def __init__(
        self,
        transport: str | Transport,
        sender: Sender,
        defined: Definitions,
        settings: Settings,
        *,
        clock: Clock,
        identity: Identity,
    ) -> None:
        self._transport = transport_from_url(transport) if isinstance(transport, str) else transport
        self._service, self._sender, self._codec, self._routing = (
            sender.service or "",
            sender,
            sender.codec,
            sender.routing,
        )
        self._clock, self._identity = clock, identity
        self._settings = replace(settings, concurrency=_WINDOW, prefetch=max(settings.prefetch, _WINDOW), timeout=None)
        self._rules = defined.rules
        self._failing = Recoverability(identity, clock)
        self._reception = Reception(self._codec, _types(defined), clock)
        self._check(settings)
        self._durability = BrokerDurability(self._transport.place, settings.durability)
        self.stranger = StrangerConsumer(self._reception, self._routing, self._failing)

    @property
    def consumers(self) -> Mapping[str, Consumer]:
        """What the main worker of the bus runs besides handlers and sagas."""
        return {BROKER_IN: self.stranger}

    @property
    def definitions(self) -> Mapping[str, HandlerDefinition]:
        """The same, as a worker knows it."""
        return {BROKER_IN: self.stranger.definition}

    def bridge(self, store: Store, acceptor: Acceptor, states: StateCodec) -> Bridge:
        """The part that sends and takes."""

        async def topology() -> Topology:
            routing = await store.routing()
            return Topology(self._service, received(routing, "event"), received(routing, "command"))

        outbound = Outbound(self._service, self._sender, self._failing, self._clock)
        inbound = Inbound(
            self._service,
            self._reception,
            acceptor,
            self._routing,
            rules=self._rules,
            observers=self._sender.observers,
            clock=self._clock,
        )
        return Bridge(
            self._transport,
            topology,
            outbound,
            inbound,
            lambda: self._worker(store, outbound, states),
            admit=self._durability.check,
            clock=self._clock,
            identity=self._identity,
        )

    def _worker(self, store: Store, outbound: Outbound, states: StateCodec) -> Worker:
        """One that takes what leaves the service, for as long as there is a link."""
        processing = Processing(
            self._sender,
            self._codec,
            states,
            clock=self._clock,
            identity=self._identity,
            settings=self._settings,
            middlewares=(),
            rules=DeduplicationRules(),
            consumers={BROKER_OUT: outbound},
        )
        return Worker(
            self._identity.new_id(),
            store,
            self._routing,
            self._codec,
            clock=self._clock,
            processing=processing,
            definitions={BROKER_OUT: outbound.definition},
            settings=self._settings,
        )

    def _check(self, settings: Settings) -> None:
        """Refuse in words what the broker cannot do."""
        transport = self._transport
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
