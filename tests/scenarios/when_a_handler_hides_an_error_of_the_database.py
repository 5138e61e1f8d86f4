"""A unique violation that a handler catches: what it means on each database, as the pages on them say."""

from typing import Any

import apsw
import asyncmy.errors
import asyncpg
import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted
from tests.support.databases import Database

from sagabus import AsyncConnection, Context, RetryPolicy, handler

INSERT = "INSERT INTO ledger VALUES (?, ?)"
VIOLATIONS = (apsw.ConstraintError, asyncmy.errors.IntegrityError, asyncpg.UniqueViolationError)
SURVIVES = {"sqlite": True, "mysql": False, "postgres": False}
PORTABLE = {
    "sqlite": "INSERT INTO ledger VALUES (?, ?) ON CONFLICT DO NOTHING",
    "postgres": "INSERT INTO ledger VALUES (?, ?) ON CONFLICT DO NOTHING",
    "mysql": "INSERT INTO ledger VALUES (?, ?) ON DUPLICATE KEY UPDATE amount = VALUES(amount)",
}


def unique(database: Database) -> None:
    """Let no amount stand twice in the ledger."""
    database.run("CREATE UNIQUE INDEX once ON ledger (amount)")


def hider(database: Database) -> Any:
    @handler("hider", retry=RetryPolicy(attempts=1))
    async def hide(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        await database.execute(connection, INSERT, ("first", 1))
        with pytest.raises(VIOLATIONS):
            await database.execute(connection, INSERT, ("again", 1))

    return hide


async def test_the_rest_commits_on_sqlite_and_the_message_fails_on_servers(
    on_database: MakeHarness, database: Database
) -> None:
    unique(database)
    async with on_database(hider(database)) as bus:
        await bus.publish(Noted(key="A"))
        letters = await bus.dead_letters()

    assert database.rows() == ([("first", 1)] if SURVIVES[database.kind] else [])
    assert len(letters) == (0 if SURVIVES[database.kind] else 1)


async def test_a_statement_that_takes_a_copy_for_granted_does_the_same_everywhere(
    on_database: MakeHarness, database: Database
) -> None:
    unique(database)

    @handler("portable", retry=RetryPolicy(attempts=1))
    async def write(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        for key in ("first", "again"):
            await database.execute(connection, PORTABLE[database.kind], (key, 1))

    async with on_database(write) as bus:
        await bus.publish(Noted(key="A"))
        letters = await bus.dead_letters()

    assert database.rows() == [("first", 1)]
    assert letters == []
