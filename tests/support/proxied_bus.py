"""A bus whose only way to its server is a proxy that does harm, beside a straight way for whoever looks afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from tests.faults.proxy import Proxy, ready_for_query
from tests.faults.tasks import Step
from tests.support.databases import ServerDatabase
from tests.support.waiting import until

from sagabus import (
    AsyncConnection,
    Bus,
    Context,
    Linear,
    RetryPolicy,
    Saga,
    Settings,
    StoreBusy,
    StoreUnavailable,
    handler,
    starts,
)
from sagabus.testing.sandbox import HOST

RECORD = "INSERT INTO ledger (id, amount) VALUES (?, ?)"
AT_ONCE = RetryPolicy(attempts=3, backoff=Linear(timedelta(milliseconds=1), step=timedelta(0)), jitter=False)

MOST_AHEAD = 100
"""So many steps of one key may wait for a reader: without a bound, a reader that commits each by itself, and is held up
by each fault, is left with whatever the others can do in the meantime, and the end is a matter of the machine's speed.
"""

Whole: TypeAlias = Callable[[bytes], bool]


class Walk(Saga, name="walk", key="key"):
    """What was applied, in order; a step that is lost or doubled shows here and in the number of versions."""

    key: str
    numbers: tuple[int, ...] = ()

    @starts
    def step(self, message: Step, ctx: Context) -> None:
        self.numbers = (*self.numbers, message.number)


class Wire:
    """The tables of one test, the proxy before them, and what is expected of every bus that went through it."""

    def __init__(self, database: ServerDatabase, proxy: Proxy | None = None) -> None:
        self.database = database
        self._proxy = proxy
        self.kinds: tuple[str, ...] = ()
        self.before_each: Callable[[], Awaitable[None]] | None = None
        """What a handler does first of all."""
        self.attempts: list[int] = []
        """Of every run that any handler of `readers` had."""
        self._reached: dict[tuple[str, str], int] = {}
        """The last step that each handler of `readers` has run, by handler and key."""
        self.whole: Whole = ready_for_query if database.kind == "postgres" else bool

    @property
    def proxy(self) -> Proxy:
        """What does the harm; not there where the server itself is harmed."""
        assert self._proxy is not None
        return self._proxy

    def url(self, **options: object) -> str:
        """Through the proxy. `options`: the bus's own."""
        given = "".join(f"&{name}={value}" for name, value in options.items())
        server = urlsplit(self.database.server)
        netloc = f"{(server.username or '')}@{HOST}:{self.proxy.port}"
        return self.database.url_at(server._replace(netloc=netloc).geturl()) + given

    def own_connection(self) -> dict[str, Any]:
        """What a driver is told for a connection of the user's through the proxy."""
        server = urlsplit(self.database.server)
        told = {"host": HOST, "port": self.proxy.port, "user": server.username, "database": server.path[1:]}
        if self.database.kind == "postgres":
            return told | {"server_settings": {"search_path": self.database.name}}
        return told

    def bus(self, *definitions: Any, lease: float = 30, **options: object) -> Bus:
        """Few lanes and a long lease, so that what happens is what the test does."""
        settings = Settings(lanes=2, lease=timedelta(seconds=lease), grace=timedelta(seconds=5))
        return Bus(self.url(**options), *definitions, settings=settings)

    def readers(self, *kinds: str) -> list[Any]:
        """Subscribers of these kinds, or of all: a buffered statement, the open transaction, and a saga."""

        @handler("buffered", key="key", retry=AT_ONCE)
        async def buffered(message: Step, ctx: Context) -> None:
            await self._note("buffered", message, ctx)
            ctx.execute(self.database.sql(RECORD), (f"buffered {message.key}", message.number))

        @handler("lent", key="key", retry=AT_ONCE)
        async def lent(message: Step, ctx: Context, connection: AsyncConnection) -> None:
            await self._note("lent", message, ctx)
            await connection.execute(self.database.sql(RECORD), (f"lent {message.key}", message.number))

        self.kinds = kinds or ("buffered", "lent", "walk")
        return [{"buffered": buffered, "lent": lent, "walk": Walk}[kind] for kind in self.kinds]

    async def _note(self, kind: str, message: Step, ctx: Context) -> None:
        self.attempts.append(ctx.attempt)
        self._reached[kind, message.key] = message.number
        if self.before_each is not None:
            await self.before_each()

    def is_ahead(self, key: str, number: int) -> bool:
        """Whether some handler has far to go to this step of a key."""
        handlers = [kind for kind in self.kinds if kind != "walk"]
        return any(number - self._reached.get((kind, key), -1) > MOST_AHEAD for kind in handlers)

    async def emptied(self) -> None:
        """Wait until all is done, that which runs again in a moment as well."""
        look = partial(self.database.of_bus, "envelope", "1", "LIMIT 1")

        async def is_empty() -> bool:
            # In a thread: a new connection for each look, on a busy machine, would leave the bus no time in its loop.
            return not await asyncio.to_thread(look)

        await until(is_empty, 30, every=0.01)

    def check(self, steps: dict[str, int]) -> None:
        """That each key's steps from 0 on took effect once, in order, through all `readers`, and nothing else is there.

        Read straight from the server. The versions of each saga are a chain without gaps, of one link for each step.
        """
        in_rows = [kind for kind in self.kinds if kind != "walk"]
        done = [(f"{kind} {key}", n) for kind in in_rows for key in steps for n in range(steps[key])]
        assert self.database.rows() == sorted(done)
        walks = {state["key"]: (version, state["numbers"]) for version, state in self.walks()}
        walked = {key: (count, list(range(count))) for key, count in steps.items()}
        assert walks == (walked if "walk" in self.kinds else {})
        self.check_books(sum(steps.values()) * len(self.kinds))

    def walks(self) -> list[tuple[int, Any]]:
        """Version and state of each saga."""
        return [(version, json.loads(state)) for version, state in self.database.of_bus("instance", "version, state")]

    def check_books(self, accepted: int) -> None:
        """That nothing waits, nothing is dead or held back, and each id is remembered for each subscription."""
        assert self.database.of_bus("envelope") == []
        assert self.database.of_bus("dead_letter") == []
        assert self.database.of_bus("held_key") == []
        assert len(self.database.of_bus("inbox")) == accepted
        assert set(self.attempts) <= {1}


@asynccontextmanager
async def wired(database: ServerDatabase) -> AsyncIterator[Wire]:
    """A proxy before the server of a database, which gets its ledger."""
    database.make()
    server = urlsplit(database.server)
    async with Proxy(server.hostname or "127.0.0.1", server.port or 0) as proxy:
        yield Wire(database, proxy)


async def die(bus: Bus) -> None:
    """End like a process that was killed: nothing is finished, committed or released."""
    assert bus._worker is not None
    assert bus._housekeeping is not None
    await bus._housekeeping.stop(0.0)
    await bus._worker.abandon()
    await bus.store.close()


async def published(bus: Bus, message: object, message_id: str) -> int:
    """Publish as everybody should: again under the same id until it is accepted. How often that took."""
    for calls in count(1):
        try:
            receipt = await bus.publish(message, message_id=message_id)
        except (StoreUnavailable, StoreBusy):
            continue
        assert receipt.status in ("accepted", "duplicate")
        return calls
    raise AssertionError("unreachable")


async def keep_publishing(bus: Bus, wire: Wire, key: str, stop: asyncio.Event) -> int:
    """One after another until told to stop, never far ahead of the readers; how many were accepted."""
    for number in count():
        await until(lambda number=number: stop.is_set() or not wire.is_ahead(key, number))
        if stop.is_set():
            return number
        await published(bus, Step(key=key, number=number), f"{key}-{number}")
    raise AssertionError("unreachable")
