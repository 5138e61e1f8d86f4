"""Who works on which lanes: shared evenly among the living, taken over from the dead, fenced by epochs."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from sagabus.store import Lane
from sagabus.stores.sqlite import rows

_ALIVE = """
INSERT INTO sagabus_worker (worker, channel, expires_at) VALUES (?1, ?2, ?3)
ON CONFLICT (worker, channel) DO UPDATE SET expires_at = excluded.expires_at
"""
_LIVING = "SELECT count(*) FROM sagabus_worker WHERE channel = ?1 AND expires_at BETWEEN ?2 AND ?3"
_RENEW = "UPDATE sagabus_lane SET expires_at = ?3, held_window = ?4 WHERE channel = ?1 AND owner = ?2"
_SHED = """
UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND owner = ?2
AND lane IN (SELECT lane FROM sagabus_lane WHERE channel = ?1 AND owner = ?2 ORDER BY lane DESC LIMIT ?3)
"""
_FREE = """
SELECT lane, owner IS NOT NULL, held_window FROM sagabus_lane
WHERE channel = ?1 AND (owner IS NULL OR expires_at NOT BETWEEN ?2 AND ?3) ORDER BY lane
"""
_TAKE = """
UPDATE sagabus_lane SET owner = ?3, epoch = epoch + 1, expires_at = ?4, held_window = ?5, suspect_until = max(suspect_until, ?6)
WHERE channel = ?1 AND lane = ?2
"""
# What the dead owner may have had in hand: a window of what was due at once, and all that was due by its time.
_SUSPECTS = """
SELECT max(
    coalesce((SELECT max(position) FROM (SELECT position FROM sagabus_envelope
        WHERE channel = ?1 AND lane = ?2 AND due_at = 0 ORDER BY position LIMIT ?3)), 0),
    coalesce((SELECT max(position) FROM sagabus_envelope
        WHERE channel = ?1 AND lane = ?2 AND due_at BETWEEN 1 AND ?4), 0))
"""
_OWNED = "SELECT channel, lane, epoch, suspect_until FROM sagabus_lane WHERE owner = ? ORDER BY channel, lane"
_RELEASE = (
    "UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE channel = ? AND lane = ? AND owner = ? AND epoch = ?"
)


def add_lanes(connection: apsw.Connection, channel: str, lanes: int) -> None:
    """Make a channel's lanes unless it has them."""
    connection.execute(
        "INSERT INTO sagabus_lane SELECT ?1, value, NULL, 0, 0, 0, 0 FROM json_each(?2) "
        "WHERE true ON CONFLICT (channel, lane) DO NOTHING",
        (channel, rows.parameter(range(lanes))),
    )


def lease(
    connection: apsw.Connection,
    worker: str,
    channels: Sequence[str],
    now: int,
    *,
    duration: int,
    window: int,
    lanes: int,
) -> list[Lane]:
    """Renew, share out and take over, in the caller's open transaction; all lanes that the worker owns afterwards."""
    connection.execute("DELETE FROM sagabus_worker WHERE expires_at NOT BETWEEN ? AND ?", (now, now + 2 * duration))
    for channel in channels:
        connection.execute(_ALIVE, (worker, channel, now + duration))
        _share(connection, worker, channel, now, duration=duration, window=window, lanes=lanes)
    return [Lane(*row) for row in connection.execute(_OWNED, (worker,))]


def _share(
    connection: apsw.Connection, worker: str, channel: str, now: int, *, duration: int, window: int, lanes: int
) -> None:
    # A lease that seems to end later than any lease can was given before the clock was set back: it has ended.
    latest = now + 2 * duration
    living: int = connection.execute(_LIVING, (channel, now, latest)).get
    share = -(-lanes // max(living, 1))
    connection.execute(_RENEW, (channel, worker, now + duration, window))
    owned: int = connection.changes()
    if owned > share:
        connection.execute(_SHED, (channel, worker, owned - share))
        return
    free = connection.execute(_FREE, (channel, now, latest)).fetchall()
    for lane, abandoned, held in free[: share - owned]:
        suspect: int = connection.execute(_SUSPECTS, (channel, lane, held, now)).get if abandoned else 0
        connection.execute(_TAKE, (channel, lane, worker, now + duration, window, suspect))


def release(connection: apsw.Connection, worker: str, lanes: Sequence[Lane] | None) -> None:
    """Give lanes back, in the caller's open transaction."""
    if lanes is None:
        connection.execute("UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE owner = ?", (worker,))
        connection.execute("DELETE FROM sagabus_worker WHERE worker = ?", (worker,))
        return
    for lane in lanes:
        connection.execute(_RELEASE, (lane.channel, lane.lane, worker, lane.epoch))
