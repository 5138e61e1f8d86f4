"""The named statements by which workers share lanes, in the words of SQLite."""

from __future__ import annotations

from sagabus.stores.sql.loud_keys import all_but
from sagabus.stores.sqlite.fragments import NOT_HELD
from sagabus.stores.sqlite.sets import Form, Packed, Plain

# A lease that seems to end much later than it can was given before the clock was set back: it has ended.
LEASING: dict[str, Form] = {
    "dead_workers": Plain(
        "SELECT worker, channel FROM sagabus_worker WHERE expires_at NOT BETWEEN ?1 AND ?1 + 2 * lease_length"
    ),
    "forget_dead_worker": Plain("DELETE FROM sagabus_worker WHERE worker = ?1 AND channel = ?2"),
    "knows_worker": Plain("SELECT 1 FROM sagabus_worker WHERE worker = ?1 LIMIT 1"),
    "workers": Plain("""
SELECT w.worker, w.channel, (SELECT count(*) FROM sagabus_lane AS l WHERE l.channel = w.channel AND l.owner = w.worker),
    w.expires_at, w.knows, w.lease_length, w.running, w.version FROM sagabus_worker AS w
WHERE w.expires_at BETWEEN ?1 AND ?1 + 2 * w.lease_length ORDER BY w.channel, w.worker
"""),
    "crew": Plain("""
SELECT value * 1000 + (SELECT count(*) FROM sagabus_worker WHERE expires_at NOT BETWEEN ?1 AND ?1 + 2 * lease_length)
FROM sagabus_meta WHERE name = 'crew'
"""),
    "raise_crew": Plain("""
INSERT INTO sagabus_meta (name, value) VALUES ('crew', ?1)
ON CONFLICT (name) DO UPDATE SET value = value + excluded.value
"""),
    "forget_worker": Plain("DELETE FROM sagabus_worker WHERE worker = ?1"),
    "lanes_setting": Plain("SELECT value FROM sagabus_meta WHERE name = 'lanes'"),
    "lock_lanes": Plain("SELECT lane FROM sagabus_lane WHERE channel = ?1 LIMIT 1"),  # the file is locked as a whole
    "add_lanes": Packed("""
INSERT INTO sagabus_lane (channel, lane, owner, epoch, expires_at, lease_length, held_window, suspect_until)
SELECT value ->> 0, value ->> 1, NULL, 0, 0, 0, 0, 0 FROM json_each(?1) WHERE true
ON CONFLICT (channel, lane) DO NOTHING
"""),
    # A row for each of the worker's channels and each crew there, with how its lanes are shared. No row at all when a
    # worker has died.
    "standing": Plain("""
SELECT w.channel, (SELECT count(*) FROM sagabus_lane AS l WHERE l.channel = w.channel),
    (SELECT count(*) FROM sagabus_lane AS l WHERE l.channel = w.channel AND l.owner = ?1),
    (SELECT count(*) FROM sagabus_lane AS l WHERE l.channel = w.channel
        AND (l.owner IS NULL OR l.expires_at NOT BETWEEN ?2 AND ?2 + 2 * l.lease_length)),
    o.knows, count(*), count(*) FILTER (WHERE o.worker < ?1), min(o.worker)
FROM sagabus_worker AS w CROSS JOIN sagabus_worker AS o ON o.channel = w.channel WHERE w.worker = ?1 AND NOT EXISTS (
    SELECT 1 FROM sagabus_worker AS d WHERE d.expires_at NOT BETWEEN ?2 AND ?2 + 2 * d.lease_length)
GROUP BY w.channel, o.knows
"""),
    "renew_worker": Plain("UPDATE sagabus_worker SET expires_at = ?2, lease_length = ?3 WHERE worker = ?1"),
    "lock_own": Plain("SELECT lane FROM sagabus_lane WHERE owner = ?1 LIMIT 1"),  # the file is locked as a whole
    "renew_all": Plain("UPDATE sagabus_lane SET expires_at = ?2, held_window = ?3, lease_length = ?4 WHERE owner = ?1"),
    "own_registrations": Plain("SELECT channel FROM sagabus_worker WHERE worker = ?1"),
    "extend_registrations": Packed("""
UPDATE sagabus_worker SET expires_at = ?3, lease_length = ?4
WHERE worker = ?2 AND channel IN (SELECT value FROM json_each(?1))
"""),
    "own_places": Plain("SELECT channel, lane FROM sagabus_lane WHERE owner = ?1"),
    "extend_lanes": Packed("""
UPDATE sagabus_lane SET expires_at = ?3, lease_length = ?4
WHERE owner = ?2 AND (channel, lane) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
"""),
    "alive": Plain("""
INSERT INTO sagabus_worker (worker, channel, expires_at, lease_length, knows, version)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (worker, channel) DO UPDATE SET expires_at = excluded.expires_at, lease_length = excluded.lease_length,
    knows = excluded.knows, version = excluded.version
"""),
    "live_crews": Plain("""
SELECT knows, count(*), count(*) FILTER (WHERE worker < ?3), min(worker) FROM sagabus_worker
WHERE channel = ?1 AND expires_at BETWEEN ?2 AND ?2 + 2 * lease_length GROUP BY knows
"""),
    "renew": Plain(
        "UPDATE sagabus_lane SET expires_at = ?3, held_window = ?4, lease_length = ?5 WHERE channel = ?1 AND owner = ?2"
    ),
    "shed_lanes": Plain("""
UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND owner = ?2
AND lane IN (SELECT lane FROM sagabus_lane WHERE channel = ?1 AND owner = ?2 ORDER BY lane DESC LIMIT ?3)
"""),
    "free_lanes": Plain("""
SELECT lane, owner IS NOT NULL, held_window, loud, suspect_until, suspect_keys FROM sagabus_lane
WHERE channel = ?1 AND (owner IS NULL OR expires_at NOT BETWEEN ?2 AND ?2 + 2 * lease_length) ORDER BY lane
"""),
    "take_free": Plain("""
UPDATE sagabus_lane SET owner = ?2, epoch = epoch + 1, expires_at = ?3, held_window = ?4, lease_length = ?5,
    loud = NULL
WHERE channel = ?1 AND owner IS NULL
AND lane IN (SELECT lane FROM sagabus_lane WHERE channel = ?1 AND owner IS NULL ORDER BY lane LIMIT ?6)
"""),
    "take_lane": Plain("""
UPDATE sagabus_lane SET owner = ?3, epoch = epoch + 1, expires_at = ?4, held_window = ?5, lease_length = ?7,
    suspect_until = ?6, suspect_keys = ?8, loud = NULL
WHERE channel = ?1 AND lane = ?2
"""),
    # What the dead owner may have had in flight: a window of what was due at once, and all that was due by its time.
    "suspects": Plain("""
SELECT max(
    coalesce((SELECT max(position) FROM (SELECT position FROM sagabus_envelope AS e
        WHERE channel = ?1 AND lane = ?2 AND due_at = 0 AND NOT EXISTS (SELECT 1 FROM sagabus_held_key AS h
            WHERE h.channel = e.channel AND h.partition_key = e.partition_key AND h.position <> e.position)
        ORDER BY position LIMIT ?3)), 0),
    coalesce((SELECT max(position) FROM sagabus_envelope
        WHERE channel = ?1 AND lane = ?2 AND due_at BETWEEN 1 AND ?4), 0))
"""),
    # The same for all keys that are not loud, and for one that is: a window of each.
    "suspects_past_loud": Plain(f"""
SELECT max(
    coalesce((SELECT max(position) FROM (SELECT position FROM sagabus_envelope AS e
        WHERE channel = ?1 AND lane = ?2 AND due_at = 0 AND {all_but(5)} AND {NOT_HELD}
        ORDER BY position LIMIT ?3)), 0),
    coalesce((SELECT max(position) FROM sagabus_envelope
        WHERE channel = ?1 AND lane = ?2 AND due_at BETWEEN 1 AND ?4), 0))
"""),
    "suspects_of_key": Plain(f"""
SELECT coalesce(max(position), 0) FROM (SELECT position FROM sagabus_envelope AS e
    WHERE channel = ?1 AND lane = ?2 AND due_at = 0 AND partition_key = ?4 AND {NOT_HELD} ORDER BY position LIMIT ?3)
"""),
    "note_running": Plain("UPDATE sagabus_worker SET running = ?3 WHERE worker = ?1 AND channel = ?2"),
    "note_loud": Plain("UPDATE sagabus_lane SET loud = ?3 WHERE channel = ?1 AND lane = ?2"),
    "owned_lanes": Plain(
        "SELECT channel, lane, epoch, suspect_until, suspect_keys FROM sagabus_lane WHERE owner = ?1 "
        "ORDER BY channel, lane"
    ),
    "release_lane": Plain("""
UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE channel = ?1 AND lane = ?2 AND owner = ?3 AND epoch = ?4
"""),
    "release_all": Plain("UPDATE sagabus_lane SET owner = NULL, expires_at = 0 WHERE owner = ?1"),
}
