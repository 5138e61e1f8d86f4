"""A unique violation that a handler catches: what it means on each database, as the pages on them say."""

from typing import Any

import apsw
import asyncmy.errors
import asyncpg
import pytest
from tests.grounds import Ground
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted

from sagabus import AsyncConnection, Context, RetryPolicy, handler

INSERT = "INSERT INTO ledger VALUES (?, ?)"
VIOLATIONS = (apsw.ConstraintError, asyncmy.errors.IntegrityError, asyncpg.UniqueViolationError)
SURVIVES = {"sqlite": True, "mysql": False, "postgres": False}
PORTABLE = {
    "sqlite": "INSERT INTO ledger VALUES (?, ?) ON CONFLICT DO NOTHING",
    "postgres": "INSERT INTO ledger VALUES (?, ?) ON CONFLICT DO NOTHING",
    "mysql": "INSERT INTO ledger VALUES (?, ?) ON DUPLICATE KEY UPDATE amount = VALUES(amount)",
}


def unique(ground: Ground) -> None:
    """Let no amount stand twice in the ledger."""
    ground.run("CREATE UNIQUE INDEX once ON ledger (amount)")


def hider(ground: Ground) -> Any:
    @handler("hider", retry=RetryPolicy(attempts=1))
    async def hide(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        await ground.execute(connection, INSERT, ("first", 1))
        with pytest.raises(VIOLATIONS):
            await ground.execute(connection, INSERT, ("again", 1))

    return hide


async def test_the_rest_commits_on_sqlite_and_the_message_fails_on_servers(
    on_ground: MakeHarness, ground: Ground
) -> None:
    unique(ground)
    async with on_ground(hider(ground)) as bus:
        await bus.publish(Noted(key="A"))
        letters = await bus.dead_letters()

    assert ground.rows() == ([("first", 1)] if SURVIVES[ground.kind] else [])
    assert len(letters) == (0 if SURVIVES[ground.kind] else 1)


async def test_a_statement_that_takes_a_copy_for_granted_does_the_same_everywhere(
    on_ground: MakeHarness, ground: Ground
) -> None:
    unique(ground)

    @handler("portable", retry=RetryPolicy(attempts=1))
    async def write(message: Noted, ctx: Context, connection: AsyncConnection) -> None:
        for key in ("first", "again"):
            await ground.execute(connection, PORTABLE[ground.kind], (key, 1))

    async with on_ground(write) as bus:
        await bus.publish(Noted(key="A"))
        letters = await bus.dead_letters()

    assert ground.rows() == [("first", 1)]
    assert letters == []
