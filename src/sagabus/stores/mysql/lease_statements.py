"""The named statements by which workers share lanes, in the words that MySQL and MariaDB have in common."""

from __future__ import annotations

from sagabus.stores.mysql.fragments import DUE, NOT_HELD
from sagabus.stores.mysql.schema import CHANNEL
from sagabus.stores.sql.dialect import Statement
from sagabus.stores.sql.loud_keys import all_but

# A lease that seems to end much later than it can was given before the clock was set back: it has ended.
LEASING: dict[str, Statement] = {
    "dead_workers": Statement(
        "SELECT worker, channel FROM {worker} WHERE expires_at NOT BETWEEN ?1 AND ?1 + 2 * lease_length "
        "FOR UPDATE SKIP LOCKED",
        gives=True,
    ),
    "forget_dead_worker": Statement("DELETE FROM {worker} WHERE worker = ?1 AND channel = ?2"),
    "knows_worker": Statement("SELECT 1 FROM {worker} WHERE worker = ?1 LIMIT 1", gives=True),
    "workers": Statement(
        """
SELECT w.worker, w.channel, (SELECT count(*) FROM {lane} AS l WHERE l.channel = w.channel AND l.owner = w.worker),
    w.expires_at, w.knows, w.lease_length, w.running, w.version FROM {worker} AS w
WHERE w.expires_at BETWEEN ?1 AND ?1 + 2 * w.lease_length ORDER BY w.channel, w.worker
""",
        gives=True,
    ),
    "crew": Statement(
        """
SELECT value * 1000 + (SELECT COUNT(*) FROM {worker} WHERE expires_at NOT BETWEEN ?1 AND ?1 + 2 * lease_length)
FROM {meta} WHERE name = 'crew'
""",
        gives=True,
    ),
    "raise_crew": Statement("""
INSERT INTO {meta} (name, value) VALUES ('crew', ?1) ON DUPLICATE KEY UPDATE value = value + ?1
"""),
    "forget_worker": Statement("DELETE FROM {worker} WHERE worker = ?1"),
    "lanes_setting": Statement("SELECT value FROM {meta} WHERE name = 'lanes'", gives=True),
    "lock_lanes": Statement("SELECT lane FROM {lane} WHERE channel = ?1 ORDER BY lane FOR UPDATE", gives=True),
    "add_lanes": Statement(
        """
INSERT INTO {lane} (channel, lane, owner, epoch, expires_at, lease_length, held_window, suspect_until)
SELECT r.channel, r.lane, NULL, 0, 0, 0, 0, 0 FROM {rows} ON DUPLICATE KEY UPDATE {lane}.lane = {lane}.lane
""",
        f"channel {CHANNEL}, lane INT",
    ),
    # A row for each of the worker's channels and each crew there, with how its lanes are shared. No row at all when a
    # worker has died.
    "standing": Statement(
        """
SELECT w.channel, (SELECT COUNT(*) FROM {lane} AS l WHERE l.channel = w.channel),
    (SELECT COUNT(*) FROM {lane} AS l WHERE l.channel = w.channel AND l.owner = ?1),
    (SELECT COUNT(*) FROM {lane} AS l WHERE l.channel = w.channel
        AND (l.owner IS NULL OR l.expires_at NOT BETWEEN ?2 AND ?2 + 2 * l.lease_length)),
    o.knows, COUNT(*), COUNT(CASE WHEN o.worker < ?1 THEN 1 END), MIN(o.worker)
FROM {worker} AS w STRAIGHT_JOIN {worker} AS o ON o.channel = w.channel WHERE w.worker = ?1 AND NOT EXISTS (
    SELECT 1 FROM {worker} AS d WHERE d.expires_at NOT BETWEEN ?2 AND ?2 + 2 * d.lease_length)
GROUP BY w.channel, o.knows
""",
        gives=True,
    ),
    "renew_worker": Statement("UPDATE {worker} SET expires_at = ?2, lease_length = ?3 WHERE worker = ?1"),
    "lock_own": Statement("SELECT lane FROM {lane} WHERE owner = ?1 ORDER BY channel, lane FOR UPDATE", gives=True),
    "renew_all": Statement("UPDATE {lane} SET expires_at = ?2, held_window = ?3, lease_length = ?4 WHERE owner = ?1"),
    "own_registrations": Statement("SELECT channel FROM {worker} WHERE worker = ?1 FOR UPDATE SKIP LOCKED", gives=True),
    "extend_registrations": Statement(
        """
UPDATE {rows} STRAIGHT_JOIN {worker} AS w FORCE INDEX (PRIMARY) ON w.worker = ?2 AND w.channel = r.channel
SET w.expires_at = ?3, w.lease_length = ?4
""",
        f"channel {CHANNEL}",
    ),
    "own_places": Statement(
        "SELECT channel, lane FROM {lane} WHERE owner = ?1 ORDER BY channel, lane FOR UPDATE SKIP LOCKED", gives=True
    ),
    "extend_lanes": Statement(
        """
UPDATE {rows} STRAIGHT_JOIN {lane} AS l FORCE INDEX (PRIMARY) ON l.channel = r.channel AND l.lane = r.lane
SET l.expires_at = ?3, l.lease_length = ?4 WHERE l.owner = ?2
""",
        f"channel {CHANNEL}, lane INT",
    ),
    "alive": Statement("""
INSERT INTO {worker} (worker, channel, expires_at, lease_length, knows, version)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON DUPLICATE KEY UPDATE expires_at = ?3, lease_length = ?4, knows = ?5, version = ?6
"""),
    "live_crews": Statement(
        """
SELECT knows, COUNT(*), COUNT(CASE WHEN worker < ?3 THEN 1 END), MIN(worker) FROM {worker}
WHERE channel = ?1 AND expires_at BETWEEN ?2 AND ?2 + 2 * lease_length GROUP BY knows
""",
        gives=True,
    ),
    "renew": Statement(
        "UPDATE {lane} SET expires_at = ?3, held_window = ?4, lease_length = ?5 WHERE channel = ?1 AND owner = ?2"
    ),
    "shed_lanes": Statement("""
UPDATE {lane} SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND owner = ?2 ORDER BY lane DESC LIMIT ?3
"""),
    "free_lanes": Statement(
        """
SELECT lane, owner IS NOT NULL, held_window, loud, suspect_until, suspect_keys FROM {lane}
WHERE channel = ?1 AND (owner IS NULL OR expires_at NOT BETWEEN ?2 AND ?2 + 2 * lease_length) ORDER BY lane
""",
        gives=True,
    ),
    "take_free": Statement("""
UPDATE {lane} SET owner = ?2, epoch = epoch + 1, expires_at = ?3, held_window = ?4, lease_length = ?5,
    loud = NULL
WHERE channel = ?1 AND owner IS NULL ORDER BY lane LIMIT ?6
"""),
    "take_lane": Statement("""
UPDATE {lane} SET owner = ?3, epoch = epoch + 1, expires_at = ?4, held_window = ?5, lease_length = ?7,
    suspect_until = ?6, suspect_keys = ?8, loud = NULL
WHERE channel = ?1 AND lane = ?2
"""),
    # What the dead owner may have had in flight: a window of what was due at once, and all that was due by its time.
    "suspects": Statement(
        f"""
SELECT GREATEST(
    COALESCE((SELECT MAX(ready.position) FROM (SELECT e.position FROM {DUE} WHERE e.channel = ?1 AND e.lane = ?2
        AND e.scheduled = 0 AND {NOT_HELD} ORDER BY e.due_at, e.position LIMIT ?3) AS ready), 0),
    COALESCE((SELECT MAX(e.position) FROM {DUE} WHERE e.channel = ?1 AND e.lane = ?2
        AND e.scheduled = 1 AND e.due_at <= ?4), 0))
""",
        gives=True,
    ),
    # The same for all keys that are not loud, and for one that is: a window of each.
    "suspects_past_loud": Statement(
        f"""
SELECT GREATEST(
    COALESCE((SELECT MAX(ready.position) FROM (SELECT e.position FROM {DUE} WHERE e.channel = ?1 AND e.lane = ?2
        AND e.scheduled = 0 AND {all_but(5)} AND {NOT_HELD} ORDER BY e.due_at, e.position LIMIT ?3) AS ready), 0),
    COALESCE((SELECT MAX(e.position) FROM {DUE} WHERE e.channel = ?1 AND e.lane = ?2
        AND e.scheduled = 1 AND e.due_at <= ?4), 0))
""",
        gives=True,
    ),
    "suspects_of_key": Statement(
        f"""
SELECT COALESCE(MAX(ready.position), 0) FROM (SELECT e.position FROM {DUE} WHERE e.channel = ?1 AND e.lane = ?2
    AND e.scheduled = 0 AND e.partition_key = ?4 AND {NOT_HELD} ORDER BY e.due_at, e.position LIMIT ?3) AS ready
""",
        gives=True,
    ),
    "note_running": Statement("UPDATE {worker} SET running = ?3 WHERE worker = ?1 AND channel = ?2"),
    "note_loud": Statement("UPDATE {lane} SET loud = ?3 WHERE channel = ?1 AND lane = ?2"),
    "owned_lanes": Statement(
        "SELECT channel, lane, epoch, suspect_until, suspect_keys FROM {lane} WHERE owner = ?1 ORDER BY channel, lane",
        gives=True,
    ),
    "release_lane": Statement("""
UPDATE {lane} SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND lane = ?2 AND owner = ?3 AND epoch = ?4
"""),
    "release_all": Statement("UPDATE {lane} SET owner = NULL, expires_at = 0 WHERE owner = ?1"),
}
