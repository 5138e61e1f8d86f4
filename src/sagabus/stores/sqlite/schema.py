"""The tables of a SQLite store, as numbered, checksummed, forward-only migrations.

All names begin with `sagabus_`, because the user's own tables live in the same file. Ids and keys are TEXT under the
BINARY collation, so that `A1`, `a1` and `a1 ` stay three ids.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import cast

import apsw

from sagabus.failpoint import hit
from sagabus.stores.sql import migrating
from sagabus.stores.sql.migrating import Migration, missing
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import translated

MIGRATIONS = (
    Migration.of(
        1,
        """
CREATE TABLE sagabus_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO sagabus_meta (name, value) VALUES ('routing', 1);

-- AUTOINCREMENT: a position is never given twice, or a late delete could hit another message's row.
CREATE TABLE sagabus_envelope (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    lane INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    message_type TEXT NOT NULL,
    partition_key TEXT,
    body TEXT NOT NULL,
    headers TEXT,
    correlation_id TEXT,
    causation_id TEXT,
    sent_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    failed_at INTEGER,
    timer TEXT,
    stashed INTEGER NOT NULL,
    hops INTEGER NOT NULL
) STRICT;
CREATE INDEX sagabus_envelope_due ON sagabus_envelope (channel, lane, due_at, position);
CREATE UNIQUE INDEX sagabus_envelope_timer ON sagabus_envelope (channel, partition_key, timer) WHERE timer IS NOT NULL;
CREATE INDEX sagabus_envelope_stash ON sagabus_envelope (channel, partition_key, position) WHERE stashed = 1;

CREATE TABLE sagabus_instance (
    saga TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    read_version INTEGER NOT NULL,
    state TEXT NOT NULL,
    status TEXT,
    timers TEXT,
    completed_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (saga, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX sagabus_instance_completed ON sagabus_instance (saga, completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE sagabus_inbox (
    channel TEXT NOT NULL,
    message_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    stamp INTEGER NOT NULL,
    PRIMARY KEY (channel, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sagabus_inbox_stamp ON sagabus_inbox (channel, stamp);
CREATE TABLE sagabus_horizon (channel TEXT PRIMARY KEY, stamp INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE sagabus_subscription (
    message_type TEXT NOT NULL,
    channel TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (message_type, channel)
) STRICT, WITHOUT ROWID;

CREATE TABLE sagabus_worker (
    worker TEXT NOT NULL,
    channel TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    lease_length INTEGER NOT NULL,
    PRIMARY KEY (worker, channel)
) STRICT, WITHOUT ROWID;
CREATE TABLE sagabus_lane (
    channel TEXT NOT NULL,
    lane INTEGER NOT NULL,
    owner TEXT,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    lease_length INTEGER NOT NULL,
    held_window INTEGER NOT NULL,
    suspect_until INTEGER NOT NULL,
    PRIMARY KEY (channel, lane)
) STRICT, WITHOUT ROWID;

-- The position is that of the one envelope that may run; 0 where none may: the key is parked.
CREATE TABLE sagabus_held_key (
    channel TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (channel, partition_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX sagabus_held_key_position ON sagabus_held_key (position);

CREATE TABLE sagabus_dead_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    message_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL,
    envelope TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    error_type TEXT,
    error_text TEXT,
    traceback TEXT,
    attempts INTEGER NOT NULL,
    first_failed_at INTEGER,
    last_failed_at INTEGER NOT NULL,
    closed_at INTEGER,
    parked INTEGER NOT NULL,
    UNIQUE (channel, message_id, fingerprint)
) STRICT;
CREATE INDEX sagabus_dead_letter_status ON sagabus_dead_letter (status, id);
CREATE INDEX sagabus_dead_letter_closed ON sagabus_dead_letter (channel, closed_at) WHERE status <> 'open';
""",
    ),
    Migration.of(
        2,
        """
-- By position, not by version: nothing in a history may make a commit fail, or take one transition for another.
CREATE TABLE sagabus_history (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    saga TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    message_type TEXT NOT NULL,
    timer TEXT,
    status TEXT,
    completed INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX sagabus_history_instance ON sagabus_history (saga, key);
CREATE INDEX sagabus_history_committed ON sagabus_history (saga, committed_at);
""",
    ),
    Migration.of(
        3,
        """
ALTER TABLE sagabus_envelope ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sagabus_envelope ADD COLUMN excused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sagabus_dead_letter ADD COLUMN cause TEXT;
ALTER TABLE sagabus_instance ADD COLUMN shape TEXT;
ALTER TABLE sagabus_history ADD COLUMN shape TEXT;
ALTER TABLE sagabus_worker ADD COLUMN knows TEXT;
""",
    ),
    Migration.of(
        4,
        """
-- Keys that the owner fetches by cursors of their own, and the positions up to which those of the dead may have been.
ALTER TABLE sagabus_lane ADD COLUMN loud TEXT;
ALTER TABLE sagabus_lane ADD COLUMN suspect_keys TEXT;
-- Releases before could schedule for times before 1970, which are due and yet in no range of due times.
UPDATE sagabus_envelope SET due_at = 1 WHERE due_at < 0;
""",
    ),
    Migration.of(
        5,
        """
-- By position: nothing in a journal may make a commit fail. No state and no body is in it.
CREATE TABLE sagabus_journal (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    correlation_id TEXT NOT NULL,
    handled_at INTEGER NOT NULL,
    subscription TEXT NOT NULL,
    message_id TEXT NOT NULL,
    message_type TEXT NOT NULL,
    key TEXT,
    timer TEXT,
    causation_id TEXT,
    sent_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    version INTEGER,
    duration INTEGER NOT NULL,
    worker TEXT NOT NULL
) STRICT;
CREATE INDEX sagabus_journal_conversation ON sagabus_journal (correlation_id, handled_at);
CREATE INDEX sagabus_journal_handled ON sagabus_journal (subscription, handled_at);
""",
    ),
    Migration.of(
        6,
        """
CREATE TABLE sagabus_audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    made_at INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    verb TEXT NOT NULL,
    channel TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    was TEXT NOT NULL,
    became TEXT NOT NULL
) STRICT;
CREATE INDEX sagabus_audit_channel ON sagabus_audit (channel, id);
CREATE INDEX sagabus_audit_made ON sagabus_audit (channel, made_at);
CREATE TABLE sagabus_paused (
    channel TEXT PRIMARY KEY,
    paused_at INTEGER NOT NULL,
    paused_by TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
""",
    ),
    Migration.of(
        7,
        """ALTER TABLE sagabus_worker ADD COLUMN running TEXT;
ALTER TABLE sagabus_worker ADD COLUMN version TEXT;
""",
    ),
)

LATEST = MIGRATIONS[-1].version

VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS sagabus_schema_version (
    version INTEGER PRIMARY KEY,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT
"""


def applied(connection: Driver) -> dict[int, str]:
    """Version and checksum of each migration that this file has had."""
    exists = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'sagabus_schema_version'"
    if not connection.execute(exists).get:
        return {}
    return {row[0]: row[1] for row in connection.execute("SELECT version, checksum FROM sagabus_schema_version")}


def check(connection: Driver, path: str) -> list[Migration]:
    """The migrations still to come; raises when the file is of a newer release or its migrations differ from ours."""
    return missing(MIGRATIONS, applied(connection), path)


def migrate(connection: Driver, path: str, now: int) -> list[int]:
    """Apply what is missing, in the caller's open transaction; the versions applied. Applying twice changes nothing."""
    to_come = check(connection, path)
    if not to_come:
        return []
    hit("migrate.begun")
    connection.execute(VERSION_TABLE)
    for version, script, checksum in to_come:
        connection.execute(script)
        connection.execute(
            "INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (?, ?, ?)",
            (version, checksum, now),
        )
    hit("migrate.before_commit")
    return [migration.version for migration in to_come]


def script() -> str:
    """All migrations as one text, for those who apply schemas by hand."""
    return migrating.script([VERSION_TABLE], MIGRATIONS, versions="sagabus_schema_version", now="unixepoch() * 1000000")


def versions_of(path: str) -> list[int]:
    """The versions of a file, in order; of none and of one without our tables, none. It makes neither."""
    if not os.path.exists(path):  # noqa: PTH110  # a path is a text here
        return []
    with translated(path), closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return sorted(applied(cast("Driver", connection)))
