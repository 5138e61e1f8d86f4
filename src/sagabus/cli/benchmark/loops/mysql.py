"""The loop on MySQL or MariaDB: one connection, and for a batch: take, load, begin, remove, save, add, commit."""

from __future__ import annotations

import time
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
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.mysql.connecting import connected
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.dialect import quoted

_ADD = """
INSERT INTO {envelope} (channel, lane, due_at, message_id, message_type, partition_key, body, headers,
    correlation_id, causation_id, sent_at, attempt, failed_at, timer, stashed, hops) VALUES {rows}
"""
_TAKE = """
SELECT position, message_id, message_type, partition_key, body, correlation_id FROM {envelope}
WHERE channel = 'orders' AND lane = 0 AND due_at = 0 AND position > %s ORDER BY position LIMIT %s
"""
_LOAD = "SELECT `key`, version, state FROM {instance} WHERE saga = 'orders' AND `key` IN ({marks})"
_REMOVE = "DELETE FROM {envelope} WHERE position IN ({marks})"
_SAVE = """
INSERT INTO {instance} (saga, `key`, version, read_version, state, status, timers, completed_at, created_at, updated_at)
VALUES {rows}
ON DUPLICATE KEY UPDATE state = IF(version = VALUES(read_version), VALUES(state), state),
    status = IF(version = VALUES(read_version), VALUES(status), status),
    completed_at = IF(version = VALUES(read_version), VALUES(completed_at), completed_at),
    updated_at = IF(version = VALUES(read_version), VALUES(updated_at), updated_at),
    version = IF(version = VALUES(read_version), VALUES(version), version)
"""


async def measure(url: str, sagas: int) -> LoopFigures:
    """One round under a prefix of its own, which the URL names: a warm-up, batches from a full queue, then one by
    one.
    """
    store = MysqlStore(url)
    await store.open()
    await store.close()
    address = Address.of(url)
    native = (await connected(address)).native
    loop = _Loop(native, {name: quoted(address.prefix + name, "`") for name in ("envelope", "instance")})
    await loop.fill("warm", min(sagas, WARM_UP))
    await loop.work_off(BATCH)
    await loop.fill("batched", sagas)
    batched, costs = await loop.timed(BATCH)
    await loop.fill("single", min(sagas, SINGLE))
    single, _ = await loop.timed(1)
    await loop.fill("paced", min(sagas, PROBES // STEPS))
    latencies: list[float] = []
    await loop.work_off(1, latencies)
    native.close()
    return LoopFigures(batched, single, latencies, costs)


class _Loop:
    def __init__(self, native: Any, tables: dict[str, str]) -> None:
        self._native = native
        self._cursor = native.cursor()
        self._tables = tables

    async def work_off(self, batch: int, paced: list[float] | None = None) -> int:
        """Handle everything in the queue, so many messages per commit; how many there were. `paced`: with a pause
        before each commit, the seconds of which are added there.
        """
        handled, after = 0, 0
        began = await rest(paced)
        while taken := await self._rows(_TAKE, [after, batch]):
            found = await self._rows(_LOAD, [row[3] for row in taken])
            done = step(taken, {row[0]: (row[1], row[2]) for row in found}, instant())
            await self._native.begin()
            await self._execute(_REMOVE, done.removed)
            await self._write(_SAVE, done.saved)
            await self._write(_ADD, done.added)
            await self._native.commit()
            handled += len(taken)
            after = taken[-1][0]
            began = await rest(paced, began)
        return handled

    async def fill(self, name: str, sagas: int) -> None:
        """Put orders into the queue."""
        rows = orders(name, sagas)
        for start in range(0, len(rows), 500):
            await self._write(_ADD, rows[start : start + 500])

    async def timed(self, batch: int) -> tuple[float, Costs]:
        """Messages handled per second."""
        meter, began = Meter(), time.perf_counter()
        handled = await self.work_off(batch)
        return handled / (time.perf_counter() - began), meter.per_message(handled)

    async def _rows(self, sql: str, values: list[Any]) -> list[Any]:
        await self._execute(sql, values)
        return [tuple(map(_text, row)) for row in await self._cursor.fetchall()]

    async def _execute(self, sql: str, values: list[Any]) -> None:
        text = sql.format(**self._tables, marks=", ".join(["%s"] * len(values)))
        await self._cursor.execute(text, values)

    async def _write(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        marks = "(" + ", ".join(["%s"] * len(rows[0])) + ")"
        text = sql.format(**self._tables, rows=", ".join([marks] * len(rows)))
        await self._cursor.execute(text, [value for row in rows for value in row])


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
