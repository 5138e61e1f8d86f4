"""The bus's own block: rows and messages commit together at its end, or neither."""

import asyncio
from contextlib import suppress

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted, Tally
from tests.support.databases import Database

from sagabus import StatementRefused, StoreError

INSERT = "INSERT INTO ledger VALUES (?, ?)"


async def test_the_end_of_the_block_commits_both(on_database: MakeHarness, database: Database) -> None:
    async with on_database(Tally) as bus:
        async with bus.bus.transaction() as tx:
            await database.execute(tx.connection, INSERT, ("A", 1))
            message_id = tx.publish(Noted(key="A", number=1), message_id="m1")
        copy = await bus.publish(Noted(key="A", number=1), message_id="m1")

        assert (message_id, copy.status) == ("m1", "duplicate")
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1])
    assert database.rows() == [("A", 1)]


async def test_an_exception_rolls_both_back(on_database: MakeHarness, database: Database) -> None:
    async with on_database(Tally) as bus:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012  # the block is what is tested
            async with bus.bus.transaction() as tx:
                await database.execute(tx.connection, INSERT, ("A", 1))
                tx.publish(Noted(key="A", number=1))
                raise ZeroDivisionError
        await bus.idle()

        assert await bus.record(Tally, "A") is None
    assert database.rows() == []


async def test_the_block_refuses_commit_and_goes_on(on_database: MakeHarness, database: Database) -> None:
    async with on_database(Tally) as bus:
        async with bus.bus.transaction() as tx:
            await database.execute(tx.connection, INSERT, ("A", 1))
            with pytest.raises(StatementRefused):
                await database.execute(tx.connection, "COMMIT")
            tx.publish(Noted(key="A", number=1))
        await bus.idle()

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1])
    assert database.rows() == [("A", 1)]


async def test_an_error_hidden_in_the_block_commits_both_or_neither(
    on_database: MakeHarness, database: Database
) -> None:
    """PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK, and without an error."""
    async with on_database(Tally) as bus:
        with suppress(StoreError):
            async with bus.bus.transaction() as tx:
                await database.execute(tx.connection, INSERT, ("A", 1))
                with suppress(Exception):
                    await database.execute(tx.connection, INSERT, ("A", -1))
                tx.publish(Noted(key="A", number=1))
        await bus.idle()

        record = await bus.record(Tally, "A")
        state = None if record is None else record.state
    assert (database.rows(), state) in (([("A", 1)], Tally(key="A", numbers=[1])), ([], None))


async def test_blocks_at_once_commit_each_for_itself(on_database: MakeHarness, database: Database) -> None:
    """More of them than the store has connections."""
    async with on_database(Tally) as bus:

        async def block(number: int) -> None:
            with suppress(ZeroDivisionError):
                async with bus.bus.transaction() as tx:
                    await database.execute(tx.connection, INSERT, (f"K{number}", number))
                    tx.publish(Noted(key=f"K{number}", number=number))
                    if number % 4 == 0:
                        raise ZeroDivisionError

        await asyncio.gather(*(block(number) for number in range(24)))
        await bus.idle()

        kept = sorted(f"K{number}" for number in range(24) if number % 4)
        assert sorted(record.key for record in await bus.bus.sagas.list(Tally)) == kept
    assert [key for key, _ in database.rows()] == kept
