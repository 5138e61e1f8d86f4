"""The other half: a loop written by hand over the same tables with the same durability (see `half`).

One thread, no event loop, prepared statements, nothing of the engine: what the disk and the driver allow. It does the
same work for each message (take it, load and change its saga, send one follow-up) and shares one commit among a
batch.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import msgspec

from sagabus.stores.sqlite import schema

BATCH = 100
_SINGLE = 500
_WARM_UP = 300

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


class Message(msgspec.Struct):
    """The body of every message."""

    order_id: str
    amount: int


class State(msgspec.Struct):
    """The state of an order."""

    order_id: str
    amount: int
    status: str = "awaiting_payment"
    steps: int = 0


class LoopFigures(msgspec.Struct, frozen=True):
    """What one round of the loop came to."""

    batched_per_second: float
    single_per_second: float


Connection: TypeAlias = Any  # the driver's own, whose hints checkers know by half
Taken: TypeAlias = tuple[int, str, str, str, str, str | None]
# Message type: the follow-up, its channel, and the status that the step leads to.
_NEXT = {
    "bench.submitted": ("bench.capture", "orders", "awaiting_payment"),
    "bench.capture": ("bench.ship", "orders", "awaiting_shipment"),
    "bench.ship": ("bench.completed", "ledger", "completed"),
}
_message = msgspec.json.Decoder(Message).decode
_state = msgspec.json.Decoder(State).decode
_encode = msgspec.json.Encoder().encode


def measure(path: str, sagas: int) -> LoopFigures:
    """One round on a fresh file: a warm-up, then batches from a full queue, then one by one from another."""
    connection = _fresh(path)
    _fill(connection, "warm", min(sagas, _WARM_UP))
    work_off(connection, BATCH)
    _fill(connection, "batched", sagas)
    batched = _timed(connection, BATCH)
    _fill(connection, "single", min(sagas, _SINGLE))
    single = _timed(connection, 1)
    connection.close()
    return LoopFigures(batched, single)


def _fresh(path: str) -> Connection:
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    connection: Connection = apsw.Connection(path)
    connection.execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;"
        "PRAGMA wal_autocheckpoint = 4000; PRAGMA mmap_size = 0"
    )
    with connection:
        schema.migrate(connection, path, _now())
    return connection


def _fill(connection: Connection, name: str, sagas: int) -> None:
    now = _now()
    with connection:
        for number in range(sagas):
            body = _encode(Message(f"{name}-{number}", number)).decode()
            key, message_id = f"{name}-{number}", f"{name:-<16}{number:016}"
            row = ("orders", 0, 0, message_id, "bench.submitted", key, body, None, None, None, now, 0, None, None, 0, 0)
            connection.execute(_ADD, row)


def prepared(path: str, sagas: int) -> Connection:
    """A fresh file with so many orders waiting."""
    connection = _fresh(path)
    _fill(connection, "prepared", sagas)
    return connection


def _timed(connection: Connection, batch: int) -> float:
    began = time.perf_counter()
    handled = work_off(connection, batch)
    return handled / (time.perf_counter() - began)


def work_off(connection: Connection, batch: int) -> int:
    """Handle everything in the queue, so many messages per commit; how many there were."""
    handled, after = 0, 0
    while True:
        connection.execute("BEGIN IMMEDIATE")
        taken: list[Taken] = connection.execute(_TAKE, (after, batch)).fetchall()
        _step(connection, taken, _now())
        connection.execute("COMMIT")
        if not taken:
            return handled
        handled += len(taken)
        after = taken[-1][0]


def _step(connection: Connection, taken: list[Taken], now: int) -> None:
    """Handle one batch; every key stands in it once: an order's next message comes with the commit of the last."""
    removed: list[tuple[int]] = []
    saved: list[tuple[object, ...]] = []
    added: list[tuple[object, ...]] = []
    for position, message_id, message_type, key, body, correlation_id in taken:
        message = _message(body)
        follow_up, channel, status = _NEXT[message_type]
        stored = connection.execute(_LOAD, (key,)).fetchone()
        version, state = (stored[0], _state(stored[1])) if stored else (0, State(key, message.amount))
        state.status = status
        state.steps += 1
        done = now if status == "completed" else None
        sent = _encode(Message(key, message.amount)).decode()
        sent_id, conversation = f"{message_id[:31]}{state.steps}", correlation_id or message_id
        removed.append((position,))
        saved.append(("orders", key, version + 1, version, _encode(state).decode(), status, None, done, now, now))
        added.append(
            (channel, 0, 0, sent_id, follow_up, key, sent, None, conversation, message_id, now, 0, None, None, 0, 0)
        )
    connection.executemany(_REMOVE, removed)
    connection.executemany(_SAVE, saved)
    connection.executemany(_ADD, added)


def _now() -> int:
    return time.time_ns() // 1000
