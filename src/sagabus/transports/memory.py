"""A broker in the process, for tests: it keeps every promise of the port but durability, and fails on cue.

    broker = MemoryBroker()
    orders = Bus("memory:", OrderSaga, transport=MemoryTransport(broker), service="orders")

Services that name the same `memory://name` share a broker. Nothing of it survives the process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Answer, Capability, Delivery, Sent, Topology, WireMessage
from sagabus.transports import wire
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

    def declare(self, topology: Topology, link: _MemoryLink) -> _Queue | None:
        """The queue of a service, with all that goes there; None for a service that receives nothing."""
        service = topology.service
        taken = {each: owner for each in topology.commands if (owner := self._owners.get(each, service)) != service}
        if taken:
            raise ConfigurationError(
                *(f"command {each!r} has a receiver already, service {owner!r}" for each, owner in taken.items())
            )
        if not topology.receives:
            return None
        for each in topology.events:
            self._events.setdefault(each, set()).add(service)
        self._owners.update(dict.fromkeys(topology.commands, service))
        queue = self._queues.setdefault(service, _Queue())
        if link not in queue.links:
            queue.links.append(link)
        return queue

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
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.open: dict[int, _Kept] = {}
        """What is handed out and not settled."""
        self.news = asyncio.Event()
        broker.attach(self)

    async def declare(self, topology: Topology) -> None:
        self._check()
        self._queue = self._broker.declare(topology, self)

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        self._check()
        answers = [self._broker.take(message) for message in messages]
        await asyncio.sleep(0)  # as a broker answers later, when the link may have ended
        while self._broker.is_silent:
            await asyncio.sleep(_LOOK)
            self._check()
        self._check()
        return answers

    async def receive(self, most: int) -> Sequence[Delivery]:
        self._check()
        queue = self._queue
        if queue is None:
            raise TransportError("the service has declared nothing that it receives", transport="memory")
        while queue.links[0] is not self or not queue.ready:
            self.news.clear()
            await self.news.wait()
            self._check()
        found: list[Delivery] = []
        for _ in range(min(most, _LARGEST_BATCH, len(queue.ready))):
            kept, tag = queue.ready.popleft(), self._broker.next_tag()
            self.open[tag] = kept
            found.append(Delivery(wire.read(kept.headers, kept.body), tag, kept.is_again))
        return found

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        if self._broker.lost_acknowledgements > 0:
            self._broker.lost_acknowledgements -= 1
            return
        for delivery in deliveries:
            self.open.pop(delivery.tag, None)

    async def ping(self) -> None:
        self._check()

    async def ended(self) -> str:
        return await asyncio.shield(self._end)

    async def close(self) -> None:
        self.end("closed")

    def end(self, why: str) -> None:
        """End, for whatever reason."""
        if not self._end.done():
            self._end.set_result(why)
            self.news.set()
            self._broker.detach(self)

    def _check(self) -> None:
        if self._end.done():
            raise TransportError(f"the link has ended: {self._end.result()}", transport="memory")


class MemoryTransport:
    """See `sagabus.transport.Transport`."""

    largest_batch = _LARGEST_BATCH
    capabilities = frozenset({Capability.ORDERED, Capability.RETURNS, Capability.OWNERS})

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

    async def connect(self) -> _MemoryLink:
        return _MemoryLink(self.broker)


_NAMED: dict[str, MemoryBroker] = {}
