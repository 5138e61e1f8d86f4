"""The loop on SQLite: one thread, no event loop, prepared statements; what the disk and the driver allow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from sagabus.cli.benchmark.costs import Costs, Meter
from sagabus.cli.benchmark.loops.work import (
    BATCH,
    PAUSE,
    PROBES,
    SINGLE,
    STEPS,
    WARM_UP,
    LoopFigures,
    Stored,
    Taken,
    instant,
    orders,
    step,
)
from sagabus.stores.sqlite import schema

_ADD = """
INSERT INTO sagabus_envelope (channel, lane, due_at, message_id, message_type, partition_key, body, headers,
    correlation_id, causation_id, sent_at, attempt, failed_at, timer, stashed, hops)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_TAKE = """
SELECT position, message_id, message_type, partition_key, body, correlation_id FROM sagabus_envelope
WHERE channel = 'orders' AND lane = 0 AND due_at = 0 AND position > ? ORDER BY position LIMIT ?
"""
_LOAD = "SELECT version, state FROM sagabus_instance WHERE saga = 'orders' AND key = ?"
_REMOVE = "DELETE FROM sagabus_envelope WHERE position = ?"
_SAVE = """
INSERT INTO sagabus_instance (saga, key, version, read_version, state, status, timers, completed_at,
    created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (saga, key) DO UPDATE SET version = excluded.version, read_version = excluded.read_version,
    state = excluded.state, status = excluded.status, timers = excluded.timers, completed_at = excluded.completed_at,
    updated_at = excluded.updated_at
WHERE sagabus_instance.version = excluded.read_version
"""

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -65536",
    "wal_autocheckpoint = 4000",
    "journal_size_limit = 67108864",
    "mmap_size = 0",
    "temp_store = MEMORY",
)
"""As the store's own."""
Connection: TypeAlias = Any  # the driver's own, whose hints checkers know by half


def measure(path: str, sagas: int) -> LoopFigures:
    """One round on a fresh file: a warm-up, then batches from a full queue, then one by one from another."""
    connection = _fresh(path)
    _fill(connection, "warm", min(sagas, WARM_UP))
    work_off(connection, BATCH)
    _fill(connection, "batched", sagas)
    batched, costs = _timed(connection, BATCH)
    _fill(connection, "single", min(sagas, SINGLE))
    single, _ = _timed(connection, 1)
    _fill(connection, "paced", min(sagas, PROBES // STEPS))
    latencies: list[float] = []
    work_off(connection, 1, latencies)
    connection.close()
    return LoopFigures(batched, single, latencies, costs)


def prepared(path: str, sagas: int) -> Connection:
    """A fresh file with so many orders waiting."""
    connection = _fresh(path)
    _fill(connection, "prepared", sagas)
    return connection


def work_off(connection: Connection, batch: int, paced: list[float] | None = None) -> int:
    """Handle everything in the queue, so many messages per commit; how many there were. `paced`: with a pause before
    each commit, the seconds of which are added there.
    """
    handled, after = 0, 0
    while True:
        if paced is not None:
            time.sleep(PAUSE)
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        taken: list[Taken] = connection.execute(_TAKE, (after, batch)).fetchall()
        stored: dict[str, Stored] = {}
        for row in taken:
            found = connection.execute(_LOAD, (row[3],)).fetchone()
            if found:
                stored[row[3]] = found
        done = step(taken, stored, instant())
        connection.executemany(_REMOVE, [(position,) for position in done.removed])
        connection.executemany(_SAVE, done.saved)
        connection.executemany(_ADD, done.added)
        connection.execute("COMMIT")
        if not taken:
            return handled
        if paced is not None:
            paced.append(time.perf_counter() - began)
        handled += len(taken)
        after = taken[-1][0]


def _fresh(path: str) -> Connection:
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    connection: Connection = apsw.Connection(path)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()  # of a text with several, those behind the first row are lost
    with connection:
        schema.migrate(connection, path, instant())
    return connection


def _fill(connection: Connection, name: str, sagas: int) -> None:
    with connection:
        connection.executemany(_ADD, orders(name, sagas))


def _timed(connection: Connection, batch: int) -> tuple[float, Costs]:
    meter, began = Meter(), time.perf_counter()
    handled = work_off(connection, batch)
    return handled / (time.perf_counter() - began), meter.per_message(handled)
