"""One link to the server: one connection to send and settle, and a second one to wait for what is new."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import NamedTuple

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Answer, Delivery, Sent, Topology, WireMessage
from sagabus.transports.redis import answers, entries, scripts
from sagabus.transports.redis.connecting import Server, pipe_to
from sagabus.transports.redis.connection import Part, Pipe
from sagabus.transports.redis.declaring import declared
from sagabus.transports.redis.driver import RedisError
from sagabus.transports.redis.lease import Lease
from sagabus.transports.redis.losses import Losses
from sagabus.transports.redis.options import Options
from sagabus.transports.redis.receiving import Receiving

_PATIENCE_OF_REPLICAS = 1000
"""Milliseconds. The connection does nothing else meanwhile, and a lease has to be renewed on it."""
_MOST_BYTES = 8 << 20
"""Of the messages of one script, but for the last one."""


class _Outgoing(NamedTuple):
    """A message as the script takes it, and its place in what was to be sent."""

    at: int
    key: str
    packed: bytes


class RedisLink:
    """See `sagabus.transport.Link`."""

    def __init__(self, options: Options, server: Server, losses: Losses, lease: Lease) -> None:
        self._options, self._server, self._losses, self._lease = options, server, losses, lease
        self._pipe, self._life = server.pipe, server.life
        self._waiting: Pipe | None = None
        self._receiving: Receiving | None = None
        self._mark = ""
        self._turn = asyncio.Lock()

    async def declare(self, topology: Topology, *, make: bool = True, move: bool = False) -> None:
        self._life.check()
        place = self._options.place
        try:
            self._mark = await declared(self._pipe, self._options, topology, make=make, move=move)
            self._losses.note(self._mark)
            if topology.receives and self._receiving is None:
                await self._begin(topology.service)
        except RedisError as error:
            raise answers.raised(error, place) from None

    async def examine(self, topology: Topology) -> Sequence[str]:
        self._life.check()
        try:
            await declared(self._pipe, self._options, topology, make=False, move=False)
        except ConfigurationError as error:
            return error.problems
        except RedisError as error:
            raise answers.raised(error, self._options.place) from None
        return ()

    async def _begin(self, service: str) -> None:
        self._waiting = await pipe_to(self._options, self._server.host, self._life)
        receiving = Receiving(
            service, self._options.names, self._pipe, self._waiting, life=self._life, lease=self._lease
        )
        await receiving.take_over()
        self._receiving = receiving

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        self._life.check()
        if (why := self._losses.hold()) is not None:
            return [Sent(Answer.UNKNOWN, why)] * len(messages)
        found: dict[int, Sent] = {}
        for batch in _batches(self._prepared(messages, found)):
            said = await self._passed_on(batch)
            found.update(zip((each.at for each in batch), said, strict=True))
        return [found[at] for at in range(len(messages))]

    def _prepared(self, messages: Sequence[WireMessage], refused: dict[int, Sent]) -> Iterator[_Outgoing]:
        names = self._options.names
        for at, message in enumerate(messages):
            key = names.command(message.type) if message.kind == "command" else names.event(message.type)
            try:
                yield _Outgoing(at, key, entries.packed(key, message))
            except ValueError as error:
                refused[at] = Sent(Answer.REFUSED, str(error))

    async def _passed_on(self, batch: Sequence[_Outgoing]) -> list[Sent]:
        try:
            async with self._turn if self._options.wait else nullcontext():
                return await self._copied(await self._routed(batch))
        except RedisError as error:
            if answers.rests(error):
                return [Sent(Answer.UNKNOWN, answers.text(error))] * len(batch)
            if not answers.is_forbidden(error):
                raise self._failed(answers.text(error)) from None
            return await self._permitted(batch, answers.text(error))

    async def _permitted(self, batch: Sequence[_Outgoing], why: str) -> list[Sent]:
        """The server refuses a batch for the key of one message: the others go alone, and in order."""
        if len(batch) > 1:
            return [sent for each in batch for sent in await self._passed_on([each])]
        try:
            await self._routed([])
        except RedisError as error:  # it takes none at all
            raise self._failed(answers.text(error)) from None
        return [Sent(Answer.REFUSED, why)]

    async def _routed(self, batch: Sequence[_Outgoing]) -> list[Sent]:
        names = self._options.names
        keys: list[Part] = [names.mark, *{each.key for each in batch}]
        packed = entries.packed_list([each.packed for each in batch])
        said, *found = await self._pipe.run(scripts.SEND, keys, (self._mark, names.queues, packed))
        if said == scripts.LOST:
            raise self._failed("the server has lost its data since this link began")
        return answers.all_sent(found[0])

    async def _copied(self, sent: list[Sent]) -> list[Sent]:
        """The same, where as many replicas have it as the URL asks for."""
        wanted = self._options.wait
        if not wanted:
            return sent
        have = await self._pipe.ask("WAIT", wanted, _PATIENCE_OF_REPLICAS)
        if have >= wanted:
            return sent
        doubtful = Sent(Answer.UNKNOWN, f"{have} of {wanted} replicas have it")
        return [doubtful if each.answer is Answer.CONFIRMED else each for each in sent]

    async def receive(self, most: int) -> Sequence[Delivery]:
        self._life.check()
        if self._receiving is None:
            raise TransportError("the service has declared nothing that it receives", transport=self._options.place)
        return await self._receiving.receive(most)

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        self._life.check()
        if self._receiving is not None:
            await self._receiving.settle(deliveries)

    async def ping(self) -> None:
        try:
            await self._pipe.ask("PING")
        except RedisError as error:
            raise self._failed(answers.text(error)) from None

    async def durability_risks(self) -> Sequence[str]:
        self._life.check()
        return await self._server.facts.risks(self._pipe, wait=self._options.wait)

    async def ended(self) -> str:
        return await self._life.ended()

    async def close(self) -> None:
        try:
            if self._receiving is not None:
                await self._receiving.close()
        finally:
            self._life.end("closed")
            pipes = [pipe for pipe in (self._waiting, self._pipe) if pipe is not None]
            try:
                await asyncio.gather(*(pipe.close() for pipe in pipes))
            finally:
                for pipe in pipes:
                    pipe.cut()

    def _failed(self, why: str) -> TransportError:
        self._life.end(why)
        return self._life.error()


def _batches(messages: Iterator[_Outgoing]) -> Iterator[list[_Outgoing]]:
    """In order; each is taken by one script."""
    batch: list[_Outgoing] = []
    size = 0
    for each in messages:
        batch.append(each)
        size += len(each.packed)
        if size >= _MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
