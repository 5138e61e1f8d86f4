"""Two plain messages, a table without keys, and short ways to say what became of them."""

from datetime import timedelta

from tests.faults.application import here
from tests.faults.oracle import found_in
from tests.support.databases import Database
from tests.support.waiting import until

from sagabus import Bus, Linear, RetryPolicy, event

TABLES = ("CREATE TABLE done (number INTEGER, note TEXT)",)
DONE = "INSERT INTO done VALUES (?, ?)"
FAST = {"backoff": Linear(timedelta(milliseconds=1), step=timedelta(0)), "jitter": False}
ONCE = RetryPolicy(attempts=1, transient_for=timedelta(0))


@event("endurance.task")
class Task:
    number: int
    text: str = ""


@event("endurance.step")
class Step:
    key: str
    number: int


def make_bus(database: Database, *definitions: object, **options: object) -> Bus:
    here.words = database.words
    return Bus(database.url, *definitions, **options)


async def emptied(bus: Bus, database: Database) -> None:
    async def is_empty() -> bool:
        await bus.idle()
        return not database.of_bus("envelope", "1")

    await until(is_empty, 30)


def dead(database: Database) -> dict[str, tuple[str, int]]:
    return {row[0]: row[1:] for row in found_in(database, "dead_letter", "message_id, error_type, attempts")}


def numbers(database: Database) -> list[int]:
    return [row[0] for row in database.rows("number", "done")]
