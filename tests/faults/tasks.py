"""Two plain messages, a table without keys, and short ways to say what became of them."""

import asyncio
from datetime import timedelta
from pathlib import Path

from tests.faults.oracle import query

from sagabus import Bus, Linear, RetryPolicy, event

TABLES = "CREATE TABLE done (number INTEGER, note TEXT)"
DONE = "INSERT INTO done VALUES (?, ?)"
FAST = {"backoff": Linear(timedelta(milliseconds=1), step=timedelta(0)), "jitter": False}
ONCE = RetryPolicy(attempts=1, transient_attempts=1)


@event("endurance.task")
class Task:
    number: int
    text: str = ""


@event("endurance.step")
class Step:
    key: str
    number: int


def make_bus(store: Path, *definitions: object, **options: object) -> Bus:
    return Bus(f"sqlite:///{store}", *definitions, **options)


async def emptied(bus: Bus, store: Path) -> None:
    async with asyncio.timeout(30):
        while query(store, "SELECT 1 FROM sagabus_envelope"):
            await bus.idle()
            await asyncio.sleep(0.002)


def dead(store: Path) -> dict[str, tuple[str, int]]:
    return {row[0]: row[1:] for row in query(store, "SELECT message_id, error_type, attempts FROM sagabus_dead_letter")}


def numbers(store: Path) -> list[int]:
    return sorted(row[0] for row in query(store, "SELECT number FROM done"))
