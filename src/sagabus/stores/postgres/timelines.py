"""What a standby that leads on makes of beliefs about the former primary.

It may not have got all of it. Then it gives positions a second time: what a worker has in hand from before stands where
somebody else's message is now, and settling the one would remove the other. So the first connection to a new timeline
has all lanes begin anew; whatever was taken before commits nothing, and runs again as far as it is there.
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
    """The number that rises with each standby that begins to lead, or restored copy; 0 where servers do not tell."""
    try:
        return int(await native.fetchval(_TIMELINE), 16)
    except asyncpg.PostgresError:
        return 0


def begin_timeline(timeline: int) -> Steps[None]:
    """Unless somebody has done it already."""
    if (yield Query("put_timeline", (timeline,))).changed:
        return
    if (yield Query("raise_timeline", (timeline,))).changed:
        yield from dividing.begin_anew()
