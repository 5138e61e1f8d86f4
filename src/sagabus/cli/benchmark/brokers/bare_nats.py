"""NATS JetStream by nats-py alone: one stream in, one stream out, and a pull of each batch.

All of a batch is published before the first confirm is waited for. Each message is acknowledged. The last of a
batch waits for the server's answer, which is one to all of them, as with the adapter. Bodies travel without headers.
So the loop does no more than the guarantees of the adapter ask of the client, and has no store.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

from nats.js.errors import NotFoundError

from sagabus.cli.benchmark.brokers.work import WINDOW, Bare, BrokerFigures, body, plain, prefix_of
from sagabus.cli.benchmark.costs import Meter
from sagabus.transport import Part

_nats: Any = import_module("nats")  # checkers know half of its types
"""The client."""


async def _loop(url: str, messages: int) -> BrokerFigures:
    prefix = prefix_of(url)
    client = await _nats.connect(await plain(url))
    try:
        stream = client.jetstream()
        for name in ("in", "out"):
            await stream.add_stream(name=f"{prefix}-bare-{name}", subjects=[f"{prefix}.bare.{name}"])
        for first in range(0, messages, WINDOW):
            numbers = range(first, min(first + WINDOW, messages))
            await asyncio.gather(*(stream.publish(f"{prefix}.bare.in", body(number)) for number in numbers))
        pulled = await stream.pull_subscribe(f"{prefix}.bare.in", "bare")
        meter, began, done = Meter(), time.perf_counter(), 0
        while done < messages:
            batch = await pulled.fetch(min(WINDOW, messages - done), timeout=5)
            await asyncio.gather(*(stream.publish(f"{prefix}.bare.out", each.data) for each in batch))
            for each in batch[:-1]:
                await each.ack()
            await batch[-1].ack_sync()
            done += len(batch)
        return BrokerFigures(messages / (time.perf_counter() - began), meter.per_message(messages))
    finally:
        await client.close()


async def _tidy(url: str, parts: list[Part]) -> None:
    prefix = prefix_of(url)
    client = await _nats.connect(await plain(url))
    try:
        manager = client.jsm()
        made = [part.name for part in parts if part.kind == "stream"]
        made += [f"KV_{part.name}" for part in parts if part.kind == "bucket"]
        names = [f"{prefix}-bare-in", f"{prefix}-bare-out", *made]
        for name in names:
            with suppress(NotFoundError):
                await manager.delete_stream(name)
    finally:
        await client.close()


BARE = Bare("NATS JetStream", _loop, _tidy)
