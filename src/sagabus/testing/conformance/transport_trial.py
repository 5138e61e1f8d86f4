"""One broker on trial: what an adapter has to provide, and what every test of the suite is given."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sagabus.transport import Answer, Delivery, Link, Sent, Topology, Transport, WireMessage
from sagabus.transports import wire

PATIENCE = 20.0
"""Seconds for one answer of a broker."""


class TransportSuite:
    """What an adapter has to provide."""

    prefix = ""
    """Put before the names of services and types, where brokers are shared between tests."""
    too_large: int | None = None
    """Bytes of a body that the broker refuses; None where it takes any."""

    async def make_transport(self) -> Transport:
        """A transport to a broker in which none of the names of a test is known. Called once for each test."""
        raise NotImplementedError

    async def same_transport(self) -> Transport:
        """Another transport to the broker of the one made last."""
        raise NotImplementedError

    async def cut(self) -> None:
        """End every connection to the broker from its side."""
        raise NotImplementedError

    async def put(self, service: str, headers: dict[str, object], body: bytes) -> None:
        """Put a message of a stranger into the queue of a service."""
        raise NotImplementedError

    async def close(self) -> None:
        """Called after each test."""


class TransportTrial:
    """A broker on trial, with short ways to say what happens."""

    def __init__(self, suite: TransportSuite, transport: Transport) -> None:
        self.suite, self.transport = suite, transport
        self.links: list[Link] = []

    def name(self, text: str) -> str:
        """A name of this test's own."""
        return self.suite.prefix + text

    async def link(self, *topologies: Topology, other: bool = False) -> Link:
        """A new link; `other`: of another transport, as another process has it."""
        transport = await self.suite.same_transport() if other else self.transport
        async with asyncio.timeout(PATIENCE):
            link = await transport.connect()
            self.links.append(link)
            for topology in topologies:
                await link.declare(topology)
        return link

    def topology(
        self,
        service: str = "books",
        *,
        events: Sequence[str] = ("noted",),
        commands: Sequence[str] = (),
        store: str = "",
    ) -> Topology:
        """What a service asks for."""
        return Topology(self.name(service), tuple(map(self.name, events)), tuple(map(self.name, commands)), store)

    def message(self, number: int = 0, name: str = "noted", **fields: Any) -> WireMessage:
        """A message of the service `shop`."""
        chosen: dict[str, Any] = {"body": b'{"number":%d}' % number, "sent_at": 1_700_000_000_000_000 + number}
        return WireMessage(id=f"m{number}", source=self.name("shop"), type=self.name(name), **chosen | fields)

    async def send(self, link: Link, *messages: WireMessage) -> list[Answer]:
        """What the broker says of each."""
        return [sent.answer for sent in await self.sent(link, *messages)]

    async def sent(self, link: Link, *messages: WireMessage) -> Sequence[Sent]:
        """The same with the reasons."""
        async with asyncio.timeout(PATIENCE):
            return await link.send(messages)

    async def receive(self, link: Link, count: int) -> list[Delivery]:
        """The next so many, in however many batches they come."""
        found: list[Delivery] = []
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                found += await link.receive(count - len(found))
        return found

    async def nothing_more(self, link: Link, service: str = "books") -> None:
        """Nothing waits that this link may have: what is put behind everything else comes next."""
        await self.suite.put(self.name(service), {wire.ID: "the end", wire.TYPE: "end"}, b"")
        (delivery,) = await self.receive(link, 1)
        assert delivery.message.id == "the end", delivery
        await link.settle([delivery])


S = TypeVar("S", bound=TransportSuite)


def conformance(test: Callable[[S, TransportTrial], Coroutine[Any, Any, None]]) -> Callable[[S], None]:
    """A plain test method that puts a new broker on trial in an event loop of its own."""

    def run(self: S) -> None:
        asyncio.run(_on_trial(self, lambda trial: test(self, trial)))

    run.__name__, run.__qualname__, run.__doc__ = test.__name__, test.__qualname__, test.__doc__
    run.__module__ = test.__module__
    run.__signature__ = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)])  # type: ignore[attr-defined]  # as that of the stores
    return run


async def _on_trial(suite: TransportSuite, test: Callable[[TransportTrial], Coroutine[Any, Any, None]]) -> None:
    trial = TransportTrial(suite, await suite.make_transport())
    try:
        await test(trial)
    finally:
        for link in trial.links:
            await link.close()
        await suite.close()
