"""Redis Streams by redis-py alone: one stream with a group in, one stream out, and a pipeline for each batch.

That is the fastest way that the client has by itself. There is one XADD for each message, and all are confirmed before
one command acknowledges the batch. Entries have one field. What the server keeps on its disk is its setting, and the
same for the bus. So the loop does no more than the guarantees of the adapter ask of the client, and has no store.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

from sagabus.cli.benchmark.brokers.work import WINDOW, Bare, BrokerFigures, body, plain, prefix_of
from sagabus.cli.benchmark.costs import Meter
from sagabus.transport import Part

_redis: Any = import_module("redis.asyncio").Redis  # checkers know half of its types
"""The client."""
_GROUP = "bare"


async def _loop(url: str, messages: int) -> BrokerFigures:
    source, sink = f"{prefix_of(url)}:in", f"{prefix_of(url)}:out"
    client = _redis.from_url(await plain(url))
    try:
        await client.xgroup_create(source, _GROUP, id="0", mkstream=True)
        for first in range(0, messages, WINDOW):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, min(first + WINDOW, messages)):
                pipeline.xadd(source, {"body": body(number)})
            await pipeline.execute()
        meter, began, done = Meter(), time.perf_counter(), 0
        while done < messages:
            found = await client.xreadgroup(_GROUP, "client", {source: ">"}, count=WINDOW, block=1000)
            ((_, entries),) = found
            sending = client.pipeline(transaction=False)
            for _, fields in entries:
                sending.xadd(sink, fields)
            await sending.execute()
            settling = client.pipeline(transaction=False)
            ids = [entry for entry, _ in entries]
            settling.xack(source, _GROUP, *ids)
            settling.xdel(source, *ids)
            await settling.execute()
            done += len(entries)
        return BrokerFigures(messages / (time.perf_counter() - began), meter.per_message(messages))
    finally:
        await client.aclose()


async def _tidy(url: str, parts: list[Part]) -> None:
    client = _redis.from_url(await plain(url))
    try:
        found = [key async for key in client.scan_iter(match=f"*{prefix_of(url)}*")]
        if found:
            await client.delete(*found)
    finally:
        await client.aclose()


BARE = Bare("Redis Streams", _loop, _tidy)
