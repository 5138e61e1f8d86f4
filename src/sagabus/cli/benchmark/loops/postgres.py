"""The loop on PostgreSQL: one connection, and three round trips for a batch. They take, load, and write all of it in
one statement that is a transaction by itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sagabus.cli.benchmark.costs import Costs, Meter
from sagabus.cli.benchmark.loops.work import (
    BATCH,
    PROBES,
    SINGLE,
    STEPS,
    WARM_UP,
    LoopFigures,
    instant,
    orders,
    rest,
    step,
)
from sagabus.stores.postgres import PostgresStore
from sagabus.stores.postgres.driver import asyncpg
from sagabus.stores.postgres.options import driver_options
from sagabus.stores.sql.address import Address

_ENVELOPE = "text int bigint text text text text text text text bigint int bigint text int int".split()  # noqa: SIM905
_INSTANCE = "text text bigint bigint text text text bigint bigint bigint".split()  # noqa: SIM905
_COLUMNS = """channel, lane, due_at, message_id, message_type, partition_key, body, headers,
    correlation_id, causation_id, sent_at, attempt, failed_at, timer, stashed, hops"""


def _unnest(types: Sequence[str], start: int) -> str:
    return f"unnest({', '.join(f'${start + i}::{name}[]' for i, name in enumerate(types))})"


_ADD = f"INSERT INTO sagabus_envelope ({_COLUMNS}) SELECT * FROM {_unnest(_ENVELOPE, 1)}"  # noqa: S608  # our constants
_TAKE = """
SELECT position, message_id, message_type, partition_key, body, correlation_id FROM sagabus_envelope
WHERE (channel, lane, due_at, position) > ('orders', 0, 0, $1) AND (channel, lane, due_at) <= ('orders', 0, 0)
ORDER BY channel, lane, due_at, position LIMIT $2
"""
_LOAD = """
SELECT i.* FROM unnest($1::text[]) AS k CROSS JOIN LATERAL (
    SELECT key, version, state FROM sagabus_instance WHERE saga = 'orders' AND key = k LIMIT 1) AS i
"""
_WRITE = f"""
WITH removed AS (DELETE FROM sagabus_envelope WHERE position = ANY ($1::bigint[])),
saved AS (INSERT INTO sagabus_instance AS i (saga, key, version, read_version, state, status, timers, completed_at,
    created_at, updated_at)
SELECT * FROM {_unnest(_INSTANCE, 2)}
ON CONFLICT (saga, key) DO UPDATE SET version = excluded.version, read_version = excluded.read_version,
    state = excluded.state, status = excluded.status, timers = excluded.timers, completed_at = excluded.completed_at,
    updated_at = excluded.updated_at
WHERE i.version = excluded.read_version)
INSERT INTO sagabus_envelope ({_COLUMNS}) SELECT * FROM {_unnest(_ENVELOPE, 12)}
"""  # noqa: S608  # our constants


async def measure(url: str, sagas: int) -> LoopFigures:
    """One round in a fresh schema, which the URL names: a warm-up, batches from a full queue, then one by one."""
    store = PostgresStore(url)
    await store.open()
    await store.close()
    address = Address.of(url)
    # A plan kept from when the tables were empty would make a slow loop, and a flattering ratio.
    settings = {"search_path": address.schema or "public", "enable_seqscan": "off", "jit": "off"}
    connection = await asyncpg.connect(**await driver_options(address), server_settings=settings)
    await _fill(connection, "warm", min(sagas, WARM_UP))
    await work_off(connection, BATCH)
    await _fill(connection, "batched", sagas)
    batched, costs = await _timed(connection, BATCH)
    await _fill(connection, "single", min(sagas, SINGLE))
    single, _ = await _timed(connection, 1)
    await _fill(connection, "paced", min(sagas, PROBES // STEPS))
    latencies: list[float] = []
    await work_off(connection, 1, latencies)
    await connection.close()
    return LoopFigures(batched, single, latencies, costs)


async def work_off(connection: Any, batch: int, paced: list[float] | None = None) -> int:
    """Handle everything in the queue, so many messages per commit; how many there were. `paced`: with a pause before
    each commit, the seconds of which are added there.
    """
    handled, after = 0, 0
    began = await rest(paced)
    while taken := await connection.fetch(_TAKE, after, batch):
        found = await connection.fetch(_LOAD, [row[3] for row in taken])
        done = step(taken, {row[0]: (row[1], row[2]) for row in found}, instant())
        await connection.execute(_WRITE, done.removed, *_columns(done.saved), *_columns(done.added))
        handled += len(taken)
        after = taken[-1][0]
        began = await rest(paced, began)
    return handled


async def _fill(connection: Any, name: str, sagas: int) -> None:
    await connection.execute(_ADD, *_columns(orders(name, sagas)))


async def _timed(connection: Any, batch: int) -> tuple[float, Costs]:
    meter, began = Meter(), time.perf_counter()
    handled = await work_off(connection, batch)
    return handled / (time.perf_counter() - began), meter.per_message(handled)


def _columns(rows: list[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
