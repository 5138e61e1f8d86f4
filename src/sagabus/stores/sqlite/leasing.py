"""Who works on which lanes: shared evenly among the living, taken over from the dead, fenced by epochs."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.store import Lane
from sagabus.stores.sqlite import rows
from sagabus.stores.sqlite.driver import Driver

# A lease that seems to end much later than it can was given before the clock was set back: it has ended.
_ALIVE = """
INSERT INTO sagabus_worker (worker, channel, expires_at, lease_length) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (worker, channel) DO UPDATE SET expires_at = excluded.expires_at, lease_length = excluded.lease_length
"""
_LIVING = "SELECT count(*) FROM sagabus_worker WHERE channel = ?1 AND expires_at BETWEEN ?2 AND ?2 + 2 * lease_length"
_RENEW = (
    "UPDATE sagabus_lane SET expires_at = ?3, held_window = ?4, lease_length = ?5 WHERE channel = ?1 AND owner = ?2"
)
_SHED = """
UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND owner = ?2
AND lane IN (SELECT lane FROM sagabus_lane WHERE channel = ?1 AND owner = ?2 ORDER BY lane DESC LIMIT ?3)
"""
_FREE = """
SELECT lane, owner IS NOT NULL, held_window FROM sagabus_lane
WHERE channel = ?1 AND (owner IS NULL OR expires_at NOT BETWEEN ?2 AND ?2 + 2 * lease_length) ORDER BY lane
"""
_TAKE = """
UPDATE sagabus_lane SET owner = ?3, epoch = epoch + 1, expires_at = ?4, held_window = ?5, lease_length = ?7,
    suspect_until = max(suspect_until, ?6)
WHERE channel = ?1 AND lane = ?2
"""
# What the dead owner may have had in hand: a window of what was due at once, and all that was due by its time.
_SUSPECTS = """
SELECT max(
    coalesce((SELECT max(position) FROM (SELECT position FROM sagabus_envelope AS e
        WHERE channel = ?1 AND lane = ?2 AND due_at = 0 AND NOT EXISTS (SELECT 1 FROM sagabus_held_key AS h
            WHERE h.channel = e.channel AND h.partition_key = e.partition_key AND h.position <> e.position)
        ORDER BY position LIMIT ?3)), 0),
    coalesce((SELECT max(position) FROM sagabus_envelope
        WHERE channel = ?1 AND lane = ?2 AND due_at BETWEEN 1 AND ?4), 0))
"""
_OWNED = "SELECT channel, lane, epoch, suspect_until FROM sagabus_lane WHERE owner = ? ORDER BY channel, lane"
_RELEASE = (
    "UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE channel = ? AND lane = ? AND owner = ? AND epoch = ?"
)


def add_lanes(connection: Driver, channel: str, lanes: int) -> None:
    """Make a channel's lanes unless it has them."""
    connection.execute(
        "INSERT INTO sagabus_lane SELECT ?1, value, NULL, 0, 0, 0, 0, 0 FROM json_each(?2) "
        "WHERE true ON CONFLICT (channel, lane) DO NOTHING",
        (channel, rows.parameter(range(lanes))),
    )


def lease(
    connection: Driver,
    worker: str,
    channels: Sequence[str],
    now: int,
    *,
    duration: int,
    window: int,
    lanes: int,
) -> list[Lane]:
    """Renew, share out and take over, in the caller's open transaction; all lanes that the worker owns afterwards."""
    connection.execute("DELETE FROM sagabus_worker WHERE expires_at NOT BETWEEN ?1 AND ?1 + 2 * lease_length", (now,))
    lanes = connection.execute("SELECT value FROM sagabus_meta WHERE name = 'lanes'").get or lanes
    for channel in channels:
        if not connection.execute("SELECT EXISTS (SELECT 1 FROM sagabus_lane WHERE channel = ?)", (channel,)).get:
            add_lanes(connection, channel, lanes)
        connection.execute(_ALIVE, (worker, channel, now + duration, duration))
        _share(connection, worker, channel, now, duration=duration, window=window, lanes=lanes)
    return [Lane(*row) for row in connection.execute(_OWNED, (worker,))]


def _share(connection: Driver, worker: str, channel: str, now: int, *, duration: int, window: int, lanes: int) -> None:
    living: int = connection.execute(_LIVING, (channel, now)).get
    share = -(-lanes // max(living, 1))
    connection.execute(_RENEW, (channel, worker, now + duration, window, duration))
    owned: int = connection.changes()
    if owned > share:
        connection.execute(_SHED, (channel, worker, owned - share))
        return
    free = connection.execute(_FREE, (channel, now)).fetchall()
    for lane, abandoned, held in free[: share - owned]:
        suspect: int = connection.execute(_SUSPECTS, (channel, lane, held, now)).get if abandoned else 0
        connection.execute(_TAKE, (channel, lane, worker, now + duration, window, suspect, duration))


def release(connection: Driver, worker: str, lanes: Sequence[Lane] | None) -> None:
    """Give lanes back, in the caller's open transaction."""
    if lanes is None:
        connection.execute("UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE owner = ?", (worker,))
        connection.execute("DELETE FROM sagabus_worker WHERE worker = ?", (worker,))
        return
    for lane in lanes:
        connection.execute(_RELEASE, (lane.channel, lane.lane, worker, lane.epoch))
