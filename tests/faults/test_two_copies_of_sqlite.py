"""The SQLite behind `sqlite3` and that of the store write to one file in one process, and neither loses a commit."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sagabus import Bus, Context, event, handler

pytestmark = pytest.mark.faults

EACH = 200


@event("tests.noted")
class Noted:
    number: int


@handler("notes", key="number")
def note(message: Noted, ctx: Context) -> None:
    ctx.execute("INSERT INTO handled VALUES (?)", (message.number,))


def join_many(bus: Bus, path: Path, first: int) -> None:
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        for number in range(first, first + EACH):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO joined VALUES (?)", (number,))
            bus.join(connection).publish(Noted(number), message_id=f"note-{number}")
            connection.execute("COMMIT")


def test_joined_transactions_in_threads_next_to_a_busy_bus_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE joined (number); CREATE TABLE handled (number)")

    async def run() -> None:
        async with Bus(f"sqlite:///{path}", note) as bus:
            joining = [asyncio.to_thread(join_many, bus, path, base) for base in (1_000, 2_000)]
            publishing = [bus.publish(Noted(number), message_id=f"note-{number}") for number in range(EACH)]
            await asyncio.gather(*publishing, *joining)
            await bus.idle(30)

    asyncio.run(run())

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*), count(DISTINCT number) FROM joined").fetchone() == (400, 400)
        assert connection.execute("SELECT count(*), count(DISTINCT number) FROM handled").fetchone() == (600, 600)


def test_closing_another_copy_does_not_let_a_third_write_into_our_transaction(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"

    async def run() -> None:
        async with Bus(f"sqlite:///{path}") as bus, bus.transaction():
            with closing(sqlite3.connect(path)) as another:
                another.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            third = sqlite3.connect(path, timeout=0, isolation_level=None)
            with closing(third), pytest.raises(sqlite3.OperationalError, match="locked"):
                third.execute("BEGIN IMMEDIATE")

    asyncio.run(run())
