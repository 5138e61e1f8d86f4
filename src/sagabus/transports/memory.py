"""A broker in the process, for tests: it keeps every promise of the port but durability, and fails on cue.

    broker = MemoryBroker()
    orders = Bus("memory:", OrderSaga, transport=MemoryTransport(broker), service="orders")

Services that name the same `memory://name` share a broker. Nothing of it survives the process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Answer, Capability, Delivery, Part, Sent, Topology, WireMessage
from sagabus.transports import wire
from sagabus.transports.lifetime import Lifetime
from sagabus.url.transport import parsed_transport

__all__ = ["MemoryBroker", "MemoryTransport"]

_LARGEST_BATCH = 500
_LOOK = 0.001


class _Kept:
    """One message in one queue."""

    __slots__ = ("body", "headers", "is_again")

    def __init__(self, headers: Mapping[str, object], body: bytes) -> None:
        self.headers, self.body = headers, body
        self.is_again = False


class _Queue:
    """The queue of one service, and the links that receive from it: the first of them does, the others stand by."""

    def __init__(self) -> None:
        self.ready: deque[_Kept] = deque()
        self.links: list[_MemoryLink] = []

    def has_news(self) -> None:
        """Something waits, or another link receives now."""
        if self.links:
            self.links[0].news.set()


class MemoryBroker:
    """Queues, and who receives what. Its attributes are faults on cue."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._events: dict[str, set[str]] = {}
        self._owners: dict[str, str] = {}
        self._stores: dict[str, str] = {}
        self._links: list[_MemoryLink] = []
        self._tags = 0
        self.is_down = False
        """No link can be made."""
        self.copies = 1
        """How often each message that is sent is put into a queue."""
        self.lost_confirms = 0
        """Of so many messages that are sent next, the answer is UNKNOWN; they are in their queues."""
        self.lost_acknowledgements = 0
        """So many calls of `settle` that come next have no effect."""
        self.is_silent = False
        """It takes what is sent, and answers nothing until this is False again."""
        self.refused: dict[str, str] = {}
        """Message types that are refused, with the reason."""
        self.sent: list[WireMessage] = []
        """Every message that was taken, copies left out, in order."""

    # --- what a test does ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End all links, and take no new ones. The queues are kept."""
        self.is_down = True
        self.disconnect()

    def start(self) -> None:
        """Take links again."""
        self.is_down = False

    def disconnect(self) -> None:
        """End all links."""
        for link in list(self._links):
            link.end("the broker ended the connection")

    def put(self, service: str, headers: Mapping[str, object], body: bytes) -> None:
        """Put a message of a stranger into the queue of a service: any headers, any bytes."""
        queue = self._queues.setdefault(service, _Queue())
        queue.ready.append(_Kept(headers, body))
        queue.has_news()

    def waiting(self, service: str) -> int:
        """How many messages a service has not settled."""
        queue = self._queues.get(service)
        return 0 if queue is None else len(queue.ready) + sum(len(link.open) for link in queue.links)

    # --- what its links ask -------------------------------------------------------------------------------------------

    def next_tag(self) -> int:
        """Of one delivery: no other one has it, be it of the same message."""
        self._tags += 1
        return self._tags

    def attach(self, link: _MemoryLink) -> None:
        """A link begins."""
        if self.is_down:
            raise TransportError("no broker answers", transport="memory")
        self._links.append(link)

    def detach(self, link: _MemoryLink) -> None:
        """A link has ended: what it had handed out comes again, first and in order."""
        if link in self._links:
            self._links.remove(link)
        for queue in self._queues.values():
            if link in queue.links:
                queue.links.remove(link)
                again = list(link.open.values())  # in the order in which they were handed out
                for kept in again:
                    kept.is_again = True
                queue.ready.extendleft(reversed(again))
                queue.has_news()

    def declare(self, topology: Topology, link: _MemoryLink, *, make: bool, move: bool) -> _Queue | None:
        """The queue of a service, with all that goes there; None for a service that receives nothing."""
        problems = list(self._conflicts(topology, move=move))
        if not make:
            problems += self._missing(topology)
        if problems:
            raise ConfigurationError(*problems)
        if not topology.receives:
            return None
        service = topology.service
        for each in topology.events:
            self._events.setdefault(each, set()).add(service)
        self._owners.update(dict.fromkeys(topology.commands, service))
        if topology.store:
            self._stores[service] = topology.store
        queue = self._queues.setdefault(service, _Queue())
        if link not in queue.links:
            queue.links.append(link)
        return queue

    def problems(self, topology: Topology) -> list[str]:
        """What is in the way of a topology, and what is missing of it."""
        return [*self._conflicts(topology, move=False), *self._missing(topology)]

    def _conflicts(self, topology: Topology, *, move: bool) -> Iterator[str]:
        service, store = topology.service, topology.store
        for each in topology.commands:
            if (owner := self._owners.get(each, service)) != service:
                yield f"command {each!r} has a receiver already, service {owner!r}"
        fed = self._stores.get(service, store)
        if store and fed != store and not move:
            yield wire.feeds_another_store(service)

    def _missing(self, topology: Topology) -> Iterator[str]:
        service = topology.service
        if topology.receives and service not in self._queues:
            yield f"the queue {service!r} is missing"
        for each in topology.events:
            if service not in self._events.get(each, ()):
                yield f"the queue {service!r} has no binding for the event {each!r}"
        for each in topology.commands:
            if each not in self._owners:
                yield f"the queue {service!r} has no binding for the command {each!r}"

    def take(self, message: WireMessage) -> Sent:
        """Put one message into the queues of all its receivers."""
        if (reason := self.refused.get(message.type)) is not None:
            return Sent(Answer.REFUSED, reason)
        if message.kind == "command":
            owner = self._owners.get(message.type)
            receivers = [] if owner is None else [owner]
        else:
            receivers = sorted(self._events.get(message.type, set()) - {message.source})
        if not receivers:
            return Sent(Answer.UNROUTABLE, f"no queue takes {message.type}")
        self.sent.append(message)
        for receiver in receivers:
            for _ in range(self.copies):
                self.put(receiver, {**wire.written(message)}, message.body)
        if self.lost_confirms > 0:
            self.lost_confirms -= 1
            return Sent(Answer.UNKNOWN, "the confirm was lost")
        return Sent(Answer.CONFIRMED)


class _MemoryLink:
    """See `sagabus.transport.Link`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._queue: _Queue | None = None
        self._life = Lifetime("memory")
        self.open: dict[int, _Kept] = {}
        """What is handed out and not settled."""
        self.news = asyncio.Event()
        broker.attach(self)

    async def declare(self, topology: Topology, *, make: bool = True, move: bool = False) -> None:
        self._life.check()
        self._queue = self._broker.declare(topology, self, make=make, move=move)

    async def examine(self, topology: Topology) -> Sequence[str]:
        self._life.check()
        return self._broker.problems(topology)

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        self._life.check()
        answers = [self._broker.take(message) for message in messages]
        await asyncio.sleep(0)  # as a broker answers later, when the link may have ended
        while self._broker.is_silent:
            await asyncio.sleep(_LOOK)
            self._life.check()
        self._life.check()
        return answers

    async def receive(self, most: int) -> Sequence[Delivery]:
        self._life.check()
        queue = self._queue
        if queue is None:
            raise TransportError("the service has declared nothing that it receives", transport="memory")
        while queue.links[0] is not self or not queue.ready:
            self.news.clear()
            await self.news.wait()
            self._life.check()
        found: list[Delivery] = []
        for _ in range(min(most, _LARGEST_BATCH, len(queue.ready))):
            kept, tag = queue.ready.popleft(), self._broker.next_tag()
            self.open[tag] = kept
            found.append(Delivery(wire.read(kept.headers, kept.body), tag, kept.is_again))
        return found

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        self._life.check()
        if self._broker.lost_acknowledgements > 0:
            self._broker.lost_acknowledgements -= 1
            return
        for delivery in deliveries:
            self.open.pop(delivery.tag, None)

    async def ping(self) -> None:
        self._life.check()

    async def durability_risks(self) -> Sequence[str]:
        self._life.check()
        return ()

    async def ended(self) -> str:
        return await self._life.ended()

    async def close(self) -> None:
        self.end("closed")

    def end(self, why: str) -> None:
        """End, for whatever reason."""
        if self._life.end(why):
            self.news.set()
            self._broker.detach(self)


class MemoryTransport:
    """See `sagabus.transport.Transport`."""

    largest_batch = _LARGEST_BATCH
    capabilities = frozenset({Capability.ORDERED, Capability.RETURNS, Capability.OWNERS, Capability.STORES})

    def __init__(self, broker: MemoryBroker | None = None, *, name: str = "") -> None:
        self.broker = broker or MemoryBroker()
        self.place = f"memory://{name}"

    def __repr__(self) -> str:
        return f"MemoryTransport({self.place!r})"

    @classmethod
    def at(cls, url: str) -> MemoryTransport:
        """That of the broker which a URL names: one for each name in this process."""
        name = parsed_transport(url).path
        return cls(_NAMED.setdefault(name, MemoryBroker()), name=name)

    def parts(self, topology: Topology) -> Sequence[Part]:
        if not topology.receives:
            return ()
        receives = (*(f"event {each}" for each in topology.events), *(f"command {each}" for each in topology.commands))
        return (Part("queue", topology.service, receives=receives),)

    async def connect(self) -> _MemoryLink:
        return _MemoryLink(self.broker)


_NAMED: dict[str, MemoryBroker] = {}
