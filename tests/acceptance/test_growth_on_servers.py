"""What a server has stored must not slow down what is done next: a million waiting messages, and as many records.

Each figure is a ratio of two rates from one run on one machine; the bounds leave room for a noisy one.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncmy
import asyncpg
import pytest

from sagabus import Bus, Context, Saga, event, handles, starts

POSTGRES = os.environ.get("SAGABUS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
MYSQL = os.environ.get("SAGABUS_TEST_MYSQL", "mysql://root@127.0.0.1:3306/test")
MILLION = 1_000_000

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.timeout(900)]


@event("growth.opened")
class Opened:
    case: str


@event("growth.closed")
class Closed:
    case: str


class CaseSaga(Saga, name="cases", key="case"):
    case: str

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.publish(Closed(case=message.case))

    @handles
    def closed(self, message: Closed, ctx: Context) -> None:
        ctx.complete()


async def work(url: str, name: str, cases: int) -> float:
    """Messages published and handled a second."""
    async with Bus(url, CaseSaga) as bus:
        began = time.perf_counter()
        for start in range(0, cases, 500):
            await bus.publish_many([(Opened(case=f"{name}-{n}"), f"{name}-{n}") for n in range(start, start + 500)])
        await bus.idle()
        return bus.statistics["cases", "completed"] / (time.perf_counter() - began)


class Postgres:
    numbers = "generate_series(1, {rows}) AS n(i)"
    text = "CAST(i AS text)"
    key = "key"

    def __init__(self) -> None:
        self.schema = f"growth_{uuid4().hex[:12]}"
        self.url = f"{POSTGRES}?schema={self.schema}"

    def table(self, name: str) -> str:
        return f"{self.schema}.sagabus_{name}"

    async def run(self, sql: str) -> None:
        connection = await asyncpg.connect(POSTGRES)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def reader(self) -> Callable[[], Awaitable[object]]:
        """Begin a transaction that sees everything as it is now; what ends it."""
        connection = await asyncpg.connect(POSTGRES)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await connection.execute(f"SELECT count(*) FROM {self.table('envelope')}")
        return connection.close

    async def digest(self, table: str) -> None:
        """What the server would do in the background, while the next messages are measured."""
        await self.run(f"VACUUM ANALYZE {table}")
        await self.run("CHECKPOINT")

    async def end(self) -> None:
        await self.run(f"DROP SCHEMA {self.schema} CASCADE")


class Mysql:
    numbers = "JSON_TABLE(CONCAT('[1', REPEAT(',1', {rows} - 1), ']'), '$[*]' COLUMNS (i FOR ORDINALITY)) AS n"
    text = "CAST(i AS char)"
    key = "`key`"

    def __init__(self) -> None:
        self.prefix = f"growth_{uuid4().hex[:12]}_"
        self.url = f"{MYSQL}?prefix={self.prefix}"

    def table(self, name: str) -> str:
        return f"{self.prefix}{name}"

    async def connect(self) -> Any:
        parts = urlsplit(MYSQL)
        return await asyncmy.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            database=parts.path[1:],
            autocommit=True,
        )

    async def run(self, sql: str) -> Any:
        connection = await self.connect()
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(sql)
                return await cursor.fetchall()
        finally:
            connection.close()

    async def reader(self) -> Callable[[], Awaitable[object]]:
        """Begin a transaction that sees everything as it is now; what ends it."""
        connection = await self.connect()
        async with connection.cursor() as cursor:
            await cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        return connection.ensure_closed

    async def digest(self, table: str) -> None:
        """What the server would do in the background, while the next messages are measured."""
        await self.run(f"ANALYZE TABLE {table}")

    async def end(self) -> None:
        ours = self.prefix.replace("_", r"\_")
        for (table,) in await self.run(f"SHOW TABLES LIKE '{ours}%'"):
            await self.run(f"DROP TABLE {table}")


_COLUMNS = "channel, lane, due_at, message_id, message_type, partition_key, body, sent_at, attempt, stashed, hops"
_INSTANCE = "saga, {key}, version, read_version, state, completed_at, created_at, updated_at"
_REST = "concat('old-', {text}), 'growth.opened', concat('old-', {text}), '{{}}', 1, 0, 0, 0"
FILLINGS = {
    "scheduled messages of the same channel": (
        "envelope",
        f"({_COLUMNS}) SELECT 'cases', i % 16, 4000000000000000 + i, {_REST}",
    ),
    "waiting messages of another channel": ("envelope", f"({_COLUMNS}) SELECT 'others', i % 16, 0, {_REST}"),
    # Of a time to come, so that housekeeping does not begin to forget them meanwhile.
    "records of messages": ("inbox", "SELECT 'cases', concat('seen-', {text}), '00', 4000000000000000 + i"),
    "finished sagas": (
        "instance",
        f"({_INSTANCE}) SELECT 'cases', concat('old-', {{text}}), 2, 1, '{{{{}}}}', 4000000000000000 + i, i, i",
    ),
}


@pytest.mark.parametrize("make", [Postgres, Mysql])
@pytest.mark.parametrize("filling", FILLINGS)
def test_a_million_stored_rows_cost_the_next_messages_nothing(make: Callable[[], Any], filling: str) -> None:
    async def scenario() -> tuple[float, float]:
        server = make()
        try:
            await work(server.url, "warm", 1_000)
            before = await work(server.url, "before", 5_000)
            table, values = FILLINGS[filling]
            numbers = server.numbers.format(rows=MILLION)
            await server.run(
                f"INSERT INTO {server.table(table)} {values.format(text=server.text, key=server.key)} FROM {numbers}"
            )
            await server.digest(server.table(table))
            await work(server.url, "settle", 1_000)
            return before, await work(server.url, "after", 5_000)
        finally:
            await server.end()

    before, after = asyncio.run(scenario())

    assert after > 0.7 * before, (before, after)


@pytest.mark.parametrize("make", [Postgres, Mysql])
def test_a_reader_that_keeps_all_that_was_removed_makes_no_message_dearer(make: Callable[[], Any]) -> None:
    """A transaction that somebody left open: no removed row of the queue is cleared away until it ends."""

    async def scenario() -> tuple[float, float]:
        server = make()
        try:
            await work(server.url, "warm", 1_000)
            end = await server.reader()
            before = await work(server.url, "before", 5_000)
            await work(server.url, "removed", 30_000)
            after = await work(server.url, "after", 5_000)
            await end()
            return before, after
        finally:
            await server.end()

    before, after = asyncio.run(scenario())

    assert after > before / 3, (before, after)
