"""The server ends a transaction that a handler holds: the message runs again, and is not to blame."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import product
from typing import Any

import asyncmy
import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.conftest import Take
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, MysqlDatabase, ServerDatabase
from tests.support.private_servers import require
from tests.support.proxied_bus import RECORD
from tests.support.waiting import until

from sagabus import AsyncConnection, Bus, Context, RetryPolicy, handler
from sagabus.stores.sql.guard import GuardedLink
from sagabus.testing.servers import PrivateMariaDB

pytestmark = pytest.mark.faults

ONCE = RetryPolicy(attempts=1, transient_for=timedelta(0))
ORDINARY = {("ours", "returns"), ("driver's", "asks"), ("session", "hides")}
WAYS = [
    pytest.param(*way, marks=[pytest.mark.slow] * (way not in ORDINARY))
    for way in product(("ours", "driver's", "session"), ("asks", "hides", "returns"))
]
DRIVERS = {"postgres": asyncpg.Connection, "mysql": asyncmy.Connection}


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, take: Take) -> ServerDatabase:
    database = take(request.param)
    assert isinstance(database, ServerDatabase)
    database.make()
    return database


@pytest.fixture
def forgetful() -> Iterator[ServerDatabase]:
    """A server that ends every connection which is silent for a second."""
    require(PrivateMariaDB)
    with PrivateMariaDB({"wait_timeout": "1"}) as server:
        database = MysqlDatabase(server.url, keep=False)
        database.make()
        yield database


async def ask(connection: Any, sql: str) -> Any:
    """The first value of the first row, whatever was lent."""
    if isinstance(connection, AsyncSession):
        return (await connection.execute(text(sql))).scalar()
    if isinstance(connection, GuardedLink):
        return (await connection.execute(sql))[0][0]
    if hasattr(connection, "_prefix"):
        return await connection.fetchval(sql)
    async with connection.cursor() as cursor:
        await cursor.execute(sql)
        return (await cursor.fetchone())[0]


async def end_it(database: ServerDatabase, connection: Any) -> None:
    """End the connection from outside, and see that it has ended."""
    if database.kind == "postgres":
        number = await ask(connection, "SELECT pg_backend_pid()")
        database.run(f"SELECT pg_terminate_backend({number}, 10000)")
    else:
        database.run(f"KILL {await ask(connection, 'SELECT CONNECTION_ID()')}")


def losing(database: ServerDatabase, kind: Any, then: str, attempts: list[int]) -> Any:
    """A handler whose first run loses its connection, and then asks again, hides what comes of that, or returns."""

    @handler("losing", key="key", retry=ONCE)
    async def run(message: Step, ctx: Context, connection: kind) -> None:
        attempts.append(ctx.attempt)
        ctx.execute(database.sql(RECORD), (message.key, message.number))
        if len(attempts) > 1:
            return
        await end_it(database, connection)
        if then == "asks":
            await ask(connection, "SELECT 1")
        elif then == "hides":
            with suppress(Exception):
                await ask(connection, "SELECT 1")

    return run


@pytest.mark.parametrize(("lent_as", "then"), WAYS)
async def test_a_handler_whose_connection_is_ended_runs_again_uncounted(
    database: ServerDatabase, lent_as: str, then: str
) -> None:
    attempts: list[int] = []
    kind = {"ours": AsyncConnection, "driver's": DRIVERS[database.kind], "session": AsyncSession}[lent_as]
    async with Bus(database.url, losing(database, kind, then, attempts)) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await until(lambda: database.rows() != [])
        await bus.idle(20)

        assert (attempts, database.rows()) == ([1, 1], [("A", 0)])
        assert await bus.dead_letters.list() == []


async def test_a_handler_that_is_idle_in_its_transaction_for_too_long_runs_again_uncounted(take: Take) -> None:
    database, attempts = take("postgres"), list[int]()
    database.make()

    @handler("idle", key="key", retry=ONCE)
    async def idle(message: Step, ctx: Context, connection: AsyncConnection) -> None:
        attempts.append(ctx.attempt)
        await connection.execute(database.sql(RECORD), (message.key, message.number))
        if len(attempts) == 1:
            pid = (await connection.execute("SELECT pg_backend_pid()"))[0][0]
            await until(lambda: not database.run("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]))

    async with Bus(f"{database.url}&idle_in_transaction_session_timeout=100", idle) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await until(lambda: database.rows() != [])
        await bus.idle(20)

        assert (attempts, database.rows()) == ([1, 1], [("A", 0)])
        assert await bus.dead_letters.list() == []


async def test_connections_that_were_silent_for_too_long_cost_no_attempt(forgetful: ServerDatabase) -> None:
    attempts: list[int] = []

    @handler("silent", key="key", retry=ONCE)
    async def silent(message: Step, ctx: Context, connection: AsyncConnection) -> None:
        attempts.append(ctx.attempt)
        await connection.execute(forgetful.sql(RECORD), (message.key, message.number))
        if len(attempts) == 1:
            number = (await connection.execute("SELECT CONNECTION_ID()"))[0][0]
            find = "SELECT 1 FROM information_schema.processlist WHERE id = %s"
            await until(lambda: not forgetful.run(find, [number]))

    async with Bus(forgetful.url, silent) as bus:
        await bus.publish(Step(key="A", number=0), message_id="step-0")
        await until(lambda: forgetful.rows() != [])
        await asyncio.sleep(1.2)  # so that connections at rest end as well

        receipt = await bus.publish(Step(key="A", number=1), message_id="step-1")
        await bus.idle(20)
        assert receipt.status == "accepted"
        assert (attempts, forgetful.rows()) == ([1, 1, 1], [("A", 0), ("A", 1)])
        assert await bus.dead_letters.list() == []
