"""Locks that keep the bus's statements waiting at their server, and an operator who cancels what waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import pymysql
from tests.support.databases import ServerDatabase
from tests.support.waiting import until

_WRITERS = {"postgres": "LOCK TABLE {} IN EXCLUSIVE MODE", "mysql": "LOCK TABLES {} READ"}
_EVERYBODY = {"postgres": "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", "mysql": "LOCK TABLES {} WRITE"}
_WAITING = {
    "postgres": "SELECT pid, query_start::text FROM pg_stat_activity WHERE application_name = 'sagabus' "
    "AND state = 'active' AND wait_event_type = ? AND query LIKE ?",
    "mysql": "SELECT id, query_id FROM information_schema.processlist WHERE state LIKE ? AND info LIKE ?",
    # MariaDB has this as well, but it is off there; and only MariaDB has the other.
    "MySQL itself": "SELECT t.processlist_id, s.event_id FROM performance_schema.threads AS t "
    "JOIN performance_schema.events_statements_current AS s ON s.thread_id = t.thread_id "
    "WHERE t.processlist_state LIKE ? AND t.processlist_info LIKE ?",
}
_CANCEL = {"postgres": "SELECT pg_cancel_backend({})", "mysql": "KILL QUERY {}"}
_FOR = {"postgres": "Lock", "mysql": "Waiting for table%"}


@asynccontextmanager
async def held(database: ServerDatabase, table: str, *, readers: bool = False) -> AsyncIterator[None]:
    """Nobody else writes to a table of the bus, or reads it either. A bus that has begun may finish first."""
    with closing(database._connect()) as holder, holder.cursor() as cursor:
        if database.kind == "postgres":
            holder.autocommit = False
        await asyncio.to_thread(
            cursor.execute, (_EVERYBODY if readers else _WRITERS)[database.kind].format(database.own(table))
        )
        yield


def waiting(database: ServerDatabase, what: str = "", text: str = "") -> set[tuple[int, str]]:
    """Connections of buses with a statement that waits, for a lock on this database unless told otherwise; which of its
    statements it is comes with it.
    """
    flavour = database.kind
    if flavour == "mysql" and "MariaDB" not in database.run("SELECT VERSION()")[0][0]:
        flavour = "MySQL itself"
    found = database.run(
        _WAITING[flavour], (what or _FOR[database.kind], f"%{text}%" if what else f"%{database.name}%")
    )
    return {(number, str(statement)) for number, statement in found}


async def cancelled(database: ServerDatabase, what: str = "") -> None:
    """Cancel all that waits, as soon as anything does, and see it end."""
    found: set[tuple[int, str]] = set()
    await until(lambda: found.update(waiting(database, what)) or found)
    for number, _ in found:
        with suppress(pymysql.err.OperationalError):  # it has ended since
            database.run(_CANCEL[database.kind].format(number))
    await until(lambda: not found & waiting(database, what))  # it hears of it a moment later


@asynccontextmanager
async def cancelling(database: ServerDatabase, what: str = "") -> AsyncIterator[None]:
    """Meanwhile everything is cancelled that waits."""

    async def strike() -> None:
        while True:
            await cancelled(database, what)

    striking = asyncio.create_task(strike())
    try:
        yield
    finally:
        striking.cancel()
        await asyncio.wait([striking])
