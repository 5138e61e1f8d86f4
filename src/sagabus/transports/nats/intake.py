"""What a link takes out of the stream: in order, each message once as long as the link lasts.

The consumer numbers its deliveries without a gap, to whatever link they go. Where a number is missing here, another
link has got a message: one that has ended, or one that was replaced and still had asked. Then nothing is handed out
until all that the consumer waits for is here. So what is unsettled comes first, and in order.

A message whose time has run out comes again while we hold it: it is dropped, since its acknowledgement counts all the
same. So a store that is slow, or away, needs no further word to the broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NoReturn

import msgspec

from sagabus.transport import Delivery
from sagabus.transports.nats import headers
from sagabus.transports.nats.arrival import Arrival, is_message
from sagabus.transports.nats.client import Raw
from sagabus.transports.nats.connection import Connection
from sagabus.transports.nats.jetstream import JetStream
from sagabus.transports.nats.names import Names, token
from sagabus.transports.nats.registry import Registry

_EXPIRES = 5.0
"""Seconds for which the server keeps one request for messages."""
_SLACK = 2.0
_GATHER = 0.5
"""Seconds between two looks at what another link may hold."""
_ACKNOWLEDGE = 10.0
_MOST_SUBJECTS = 10_000
_GONE = 409
_BAD = 400


class Intake:
    """The messages of one service, for the link that receives."""

    def __init__(
        self, connection: Connection, jetstream: JetStream, registry: Registry, names: Names, service: str
    ) -> None:
        self._connection, self._jetstream, self._registry, self._names = connection, jetstream, registry, names
        self._service, self._consumer = service, token(service)
        self._receives: dict[str, frozenset[str]] = {}
        self._wants: dict[bytes, bool] = {}
        """Which subjects are among them, of those seen."""
        self._ready: list[Arrival] = []
        self._held: set[int] = set()
        """Sequences of all that is ready or open."""
        self._open: dict[int, Arrival] = {}
        self._inbox = connection.new_inbox()
        self._tags = count(int.from_bytes(self._inbox.encode(), "big") << 64)  # no tag of one link is a tag of another
        self._next = 0
        self._is_torn = True
        self._wanted = 0
        """How many messages the server may still send for our last request."""
        self._requests = 0
        self._deadline = 0.0
        self._news = asyncio.Event()
        self._counting = asyncio.Lock()
        """While acknowledgements are on their way, what the server waits for and what is held here do not compare."""
        self._stop: Callable[[], Any] | None = None

    async def begin(self) -> None:
        """Be ready to take."""
        if self._stop is None:
            self._stop = await self._connection.subscribe(f"{self._inbox}.*", self._arrived)

    async def take(self, most: int) -> list[Delivery]:
        """The next messages, one at least."""
        while True:
            if self._is_torn:
                await self._gather()
            while not self._ready:
                await self._more(most)
            if self._is_torn:
                continue
            found = await self._for_us(self._ready[:most])
            if found:
                return found

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge those that are open here; returns when the server has them all."""
        found = {each.tag: self._open[each.tag] for each in deliveries if each.tag in self._open}
        if not found:
            return
        async with self._counting:
            await self._acknowledge(found)

    async def _acknowledge(self, found: Mapping[int, Arrival]) -> None:
        *before, last = found.values()
        await self._connection.publish_all([arrival.reply_bytes for arrival in before], b"+ACK")
        # The server takes acknowledgements in their order: this answer is one to all of them.
        try:
            reply = await self._connection.ask(last.reply, b"+ACK", patience=_ACKNOWLEDGE)
        except TimeoutError:
            self._lost(f"no answer to an acknowledgement for {_ACKNOWLEDGE:g} s")
        if reply.is_unheard or reply.denied:
            self._lost(reply.denied or self._missing())
        for tag, arrival in found.items():
            self._open.pop(tag, None)
            self._held.discard(arrival.sequence)

    async def give_back(self) -> None:
        """Let everything that is not settled come again at once, to the next link."""
        if self._stop is None:
            return
        await self._stop()  # first, so that none of it comes back here
        for arrival in sorted((*self._open.values(), *self._ready), key=_sequence):
            await self._connection.publish(arrival.reply, b"-NAK")

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _arrived(self, raw: Raw) -> None:
        if not is_message(raw):
            self._said(raw)
            return
        arrival = Arrival(raw)
        self._wanted = max(self._wanted - 1, 0)
        if arrival.delivery != self._next:
            self._is_torn = True
        self._next = arrival.delivery + 1
        if arrival.sequence not in self._held:
            self._held.add(arrival.sequence)
            self._ready.append(arrival)
        self._news.set()

    def _said(self, raw: Raw) -> None:
        """The server has finished a request, or refuses it."""
        status, words = headers.status(raw.block), headers.described(raw.block)
        if status == _GONE and "deleted" in words.lower():
            self._connection.life.end(self._missing())
        elif status == _BAD:
            self._connection.life.end(f"the broker does not hand out messages: {words}")
        elif raw.subject.endswith(f".{self._requests}".encode()):
            self._wanted = 0
        self._news.set()

    async def _more(self, most: int, patience: float | None = None) -> None:
        """Wait for something to come, with a request for it under way."""
        loop = asyncio.get_running_loop()
        if not self._wanted:
            self._requests += 1
            self._wanted, self._deadline = most, loop.time() + _EXPIRES + _SLACK
            body = msgspec.json.encode({"batch": most, "expires": int(_EXPIRES * 1e9)})
            asked = f"$JS.API.CONSUMER.MSG.NEXT.{self._names.stream}.{self._consumer}"
            await self._connection.publish(asked, body, reply=f"{self._inbox}.{self._requests}")
        self._news.clear()
        until = self._deadline if patience is None else min(self._deadline, loop.time() + patience)
        try:
            async with asyncio.timeout_at(until):
                await self._news.wait()
        except TimeoutError:
            if loop.time() >= self._deadline:  # the server has not even said that the time is over
                self._wanted = 0
                await self._information()

    async def _gather(self) -> None:
        """Take until everything that the consumer waits for is in our hands, and in order."""
        while True:
            async with self._counting:
                known = await self._information()
                missing = int(known["num_ack_pending"]) - len(self._held)
            if missing <= 0:
                break
            await self._more(missing, _GATHER)
        self._ready.sort(key=_sequence)
        self._next = max(self._next, int(known["delivered"]["consumer_seq"]) + 1)
        self._is_torn = False

    async def _information(self) -> Any:
        known = await self._jetstream.found(f"CONSUMER.INFO.{self._names.stream}.{self._consumer}")
        if known is None:
            self._lost(self._missing())
        return known

    # --- what is for us -----------------------------------------------------------------------------------------------

    async def _for_us(self, arrivals: list[Arrival]) -> list[Delivery]:
        """Those that the service receives, opened. The stream has the messages of all services: others are settled."""
        wanted = [*map(self._is_wanted, arrivals)]
        if not all(wanted):
            # Another process of the service may have asked for more meanwhile.
            record = await self._registry.service(self._service)
            if not record.version:  # else all of them would be settled as messages of others
                self._lost(self._registry.missing)
            receives = record.value
            self._receives = {"event": frozenset(receives.events), "command": frozenset(receives.commands)}
            self._wants.clear()
            wanted = [*map(self._is_wanted, arrivals)]
        others = [arrival for arrival, is_wanted in zip(arrivals, wanted, strict=True) if not is_wanted]
        if others:
            await self._connection.publish_all([arrival.reply_bytes for arrival in others], b"+ACK")
        del self._ready[: len(arrivals)]
        self._held.difference_update(map(_sequence, others))
        return [self._opened(each) for each, is_wanted in zip(arrivals, wanted, strict=True) if is_wanted]

    def _opened(self, arrival: Arrival) -> Delivery:
        tag = next(self._tags)
        self._open[tag] = arrival
        return Delivery(arrival.message(), tag, arrival.again)

    def _is_wanted(self, arrival: Arrival) -> bool:
        subject = arrival.subject_bytes
        known = self._wants.get(subject)
        if known is None:
            kind, message_type = self._names.named(arrival.subject)
            known = message_type in self._receives.get(kind, ())
            if len(self._wants) < _MOST_SUBJECTS:
                self._wants[subject] = known
        return known

    def _missing(self) -> str:
        return (
            f"the consumer {self._consumer} of the stream {self._names.stream} is gone: it was deleted, with what "
            "waited there"
        )

    def _lost(self, why: str) -> NoReturn:
        self._connection.life.end(why)
        raise self._connection.life.error()


def _sequence(arrival: Arrival) -> int:
    return arrival.sequence
