"""Fencing after the promotion of a standby.

A promoted standby may lack the last commits of the former primary. It then gives their positions to other messages, and
a worker that settles its in-flight work by position would remove these. So the first connection to a new timeline
fences all lanes. In-flight work commits nothing, and runs again as far as the new primary knows it.
"""

from __future__ import annotations

from typing import Any

from sagabus.stores.postgres.driver import asyncpg
from sagabus.stores.sql import dividing
from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.steps import Query, Steps

_TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"

STATEMENTS = {
    "put_timeline": Statement("INSERT INTO {meta} (name, value) VALUES ('timeline', ?1) ON CONFLICT (name) DO NOTHING"),
    "raise_timeline": Statement("UPDATE {meta} SET value = ?1 WHERE name = 'timeline' AND value <> ?1"),
}


async def timeline_of(native: Any) -> int:
    """The number that rises with each promotion and each restore; 0 where the server does not report it."""
    try:
        return int(await native.fetchval(_TIMELINE), 16)
    except asyncpg.PostgresError:
        return 0


def begin_timeline(timeline: int) -> Steps[None]:
    """Fence all lanes on a new timeline, unless another connection has done it."""
    if (yield Query("put_timeline", (timeline,))).changed:
        return
    if (yield Query("raise_timeline", (timeline,))).changed:
        yield from dividing.fence_all()
