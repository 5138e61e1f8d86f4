"""The tables of a MySQL or MariaDB store. Ids and keys are VARBINARY: `A1`, `a1` and `a1 ` stay three ids.

A statement that changes the schema commits by itself there. So a migration is a list of statements that may each run
again: it skips an existing table, column or index. It holds a named lock, and writes its version when all of them are
done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from sagabus.stores.sql import migrating
from sagabus.stores.sql.dialect import TABLES, Statement, quoted
from sagabus.stores.sql.migrating import Migration

CHANNEL = "VARBINARY(255)"
KEY = "VARBINARY(2004)"
"""A key of 500 characters, or one that is claimed: a mark and 500 characters, each of up to 4 bytes."""
MESSAGE_ID = "VARBINARY(804)"
TIMER = "VARBINARY(512)"
TEXT = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_TABLE = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

# `scheduled` divides an index into what is due at once and what is due by schedule. One step down the index finds an
# end of either. `waits` is what a partial index would be elsewhere: the key of timers and of what is stashed, and of
# nothing else. Both are stored, since indexes over virtual columns have a history of damage. The identity in `meta`
# tells these tables from all others of their name.
_FIRST = f"""
CREATE TABLE IF NOT EXISTS {{meta}} (name VARBINARY(64) NOT NULL PRIMARY KEY, value BIGINT NOT NULL) {_TABLE};
INSERT INTO {{meta}} (name, value)
VALUES ('routing', 1), ('purge', 0), ('identity', CONV(LEFT(SHA2(UUID(), 256), 15), 16, 10))
ON DUPLICATE KEY UPDATE name = name;

CREATE TABLE IF NOT EXISTS {{envelope}} (
    position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    channel {CHANNEL} NOT NULL,
    lane INT NOT NULL,
    due_at BIGINT NOT NULL,
    message_id {MESSAGE_ID} NOT NULL,
    message_type VARBINARY(255) NOT NULL,
    partition_key {KEY},
    body {TEXT} NOT NULL,
    headers {TEXT},
    correlation_id BLOB,
    causation_id BLOB,
    sent_at BIGINT NOT NULL,
    attempt INT NOT NULL,
    failed_at BIGINT,
    timer {TIMER},
    stashed INT NOT NULL,
    hops INT NOT NULL,
    scheduled TINYINT GENERATED ALWAYS AS (due_at > 0) STORED,
    waits {KEY} GENERATED ALWAYS AS (IF(timer IS NOT NULL OR stashed = 1, partition_key, NULL)) STORED,
    INDEX {{envelope_due}} (channel, lane, scheduled, due_at, position),
    UNIQUE INDEX {{envelope_waits}} (waits, channel, timer)
) {_TABLE};

CREATE TABLE IF NOT EXISTS {{instance}} (
    saga {CHANNEL} NOT NULL,
    `key` {KEY} NOT NULL,
    version BIGINT NOT NULL,
    read_version BIGINT NOT NULL,
    state {TEXT} NOT NULL,
    status BLOB,
    timers {TEXT},
    completed_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (saga, `key`),
    INDEX {{instance_completed}} (saga, completed_at)
) {_TABLE};

CREATE TABLE IF NOT EXISTS {{inbox}} (
    channel {CHANNEL} NOT NULL,
    message_id {KEY} NOT NULL,
    fingerprint VARBINARY(64) NOT NULL,
    stamp BIGINT NOT NULL,
    PRIMARY KEY (channel, message_id),
    INDEX {{inbox_stamp}} (channel, stamp)
) {_TABLE};
CREATE TABLE IF NOT EXISTS {{horizon}} (channel {CHANNEL} NOT NULL PRIMARY KEY, stamp BIGINT NOT NULL) {_TABLE};

CREATE TABLE IF NOT EXISTS {{subscription}} (
    message_type VARBINARY(255) NOT NULL,
    channel {CHANNEL} NOT NULL,
    definition {TEXT} NOT NULL,
    PRIMARY KEY (message_type, channel)
) {_TABLE};

CREATE TABLE IF NOT EXISTS {{worker}} (
    worker VARBINARY(512) NOT NULL,
    channel {CHANNEL} NOT NULL,
    expires_at BIGINT NOT NULL,
    lease_length BIGINT NOT NULL,
    PRIMARY KEY (worker, channel)
) {_TABLE};
CREATE TABLE IF NOT EXISTS {{lane}} (
    channel {CHANNEL} NOT NULL,
    lane INT NOT NULL,
    owner VARBINARY(512),
    epoch BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lease_length BIGINT NOT NULL,
    held_window BIGINT NOT NULL,
    suspect_until BIGINT NOT NULL,
    PRIMARY KEY (channel, lane)
) {_TABLE};

CREATE TABLE IF NOT EXISTS {{held_key}} (
    channel {CHANNEL} NOT NULL,
    partition_key {KEY} NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (channel, partition_key),
    INDEX {{held_key_position}} (position)
) {_TABLE};

CREATE TABLE IF NOT EXISTS {{dead_letter}} (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    channel {CHANNEL} NOT NULL,
    message_id {MESSAGE_ID} NOT NULL,
    fingerprint VARBINARY(64) NOT NULL,
    status VARBINARY(32) NOT NULL,
    envelope {TEXT} NOT NULL,
    body {TEXT} NOT NULL,
    reason {TEXT} NOT NULL,
    error_type {TEXT},
    error_text {TEXT},
    traceback {TEXT},
    attempts INT NOT NULL,
    first_failed_at BIGINT,
    last_failed_at BIGINT NOT NULL,
    closed_at BIGINT,
    parked INT NOT NULL,
    UNIQUE INDEX {{dead_letter_message}} (channel, message_id, fingerprint),
    INDEX {{dead_letter_status}} (status, id),
    INDEX {{dead_letter_closed}} (channel, closed_at)
) {_TABLE};
"""

_SECOND = f"""
-- By position, not by version: nothing in a history may make a commit fail, or take one transition for another.
CREATE TABLE IF NOT EXISTS {{history}} (
    position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    saga {CHANNEL} NOT NULL,
    `key` {KEY} NOT NULL,
    version BIGINT NOT NULL,
    committed_at BIGINT NOT NULL,
    message_id {MESSAGE_ID} NOT NULL,
    message_type VARBINARY(255) NOT NULL,
    timer {TIMER},
    status BLOB,
    completed INT NOT NULL,
    state {TEXT} NOT NULL,
    INDEX {{history_instance}} (saga, `key`, position),
    INDEX {{history_committed}} (saga, committed_at, position)
) {_TABLE};
"""

_THIRD = f"""
ALTER TABLE {{envelope}} ADD COLUMN deaths INT NOT NULL DEFAULT 0;
ALTER TABLE {{envelope}} ADD COLUMN excused INT NOT NULL DEFAULT 0;
ALTER TABLE {{dead_letter}} ADD COLUMN cause VARBINARY(64);
ALTER TABLE {{instance}} ADD COLUMN shape {TEXT};
ALTER TABLE {{history}} ADD COLUMN shape {TEXT};
ALTER TABLE {{worker}} ADD COLUMN knows {TEXT};
"""

_VERSIONS = (
    "CREATE TABLE IF NOT EXISTS {schema_version} "
    f"(version INT NOT NULL PRIMARY KEY, checksum VARBINARY(64) NOT NULL, applied_at BIGINT NOT NULL) {_TABLE}"
)
# Keys that the owner fetches by cursors of their own, and the positions up to which those of the dead may have been.
# Releases before could schedule for times before 1970, which are due and yet in no range of due times.
_FOURTH = f"""
ALTER TABLE {{lane}} ADD COLUMN loud {TEXT};
ALTER TABLE {{lane}} ADD COLUMN suspect_keys {TEXT};
UPDATE {{envelope}} SET due_at = 1 WHERE due_at < 0;
"""

# By position: nothing in a journal may make a commit fail. No state and no body is in it.
_FIFTH = f"""
CREATE TABLE IF NOT EXISTS {{journal}} (
    position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    correlation_id {MESSAGE_ID} NOT NULL,
    handled_at BIGINT NOT NULL,
    subscription {CHANNEL} NOT NULL,
    message_id {MESSAGE_ID} NOT NULL,
    message_type VARBINARY(255) NOT NULL,
    `key` {KEY},
    timer {TIMER},
    causation_id BLOB,
    sent_at BIGINT NOT NULL,
    attempt INT NOT NULL,
    outcome VARBINARY(32) NOT NULL,
    error BLOB,
    version BIGINT,
    duration BIGINT NOT NULL,
    worker VARBINARY(512) NOT NULL,
    INDEX {{journal_conversation}} (correlation_id, handled_at, position),
    INDEX {{journal_handled}} (subscription, handled_at, position)
) {_TABLE};
"""

_SIXTH = f"""
CREATE TABLE IF NOT EXISTS {{audit}} (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    made_at BIGINT NOT NULL,
    made_by {TEXT} NOT NULL,
    verb VARBINARY(64) NOT NULL,
    channel {CHANNEL} NOT NULL,
    target {TEXT} NOT NULL,
    reason {TEXT} NOT NULL,
    was {TEXT} NOT NULL,
    became {TEXT} NOT NULL,
    INDEX {{audit_channel}} (channel, id),
    INDEX {{audit_made}} (channel, made_at)
) {_TABLE};
CREATE TABLE IF NOT EXISTS {{paused}} (
    channel {CHANNEL} NOT NULL,
    paused_at BIGINT NOT NULL,
    paused_by {TEXT} NOT NULL,
    reason {TEXT} NOT NULL,
    PRIMARY KEY (channel)
) {_TABLE};
"""

_SEVENTH = f"ALTER TABLE {{worker}} ADD COLUMN running {TEXT}, ADD COLUMN version {TEXT};\n"

_TEMPLATES = ((1, _FIRST), (2, _SECOND), (3, _THIRD), (4, _FOURTH), (5, _FIFTH), (6, _SIXTH), (7, _SEVENTH))

INDEXES = (
    "envelope_due",
    "envelope_waits",
    "instance_completed",
    "history_instance",
    "history_committed",
    "inbox_stamp",
    "held_key_position",
    "dead_letter_message",
    "dead_letter_status",
    "dead_letter_closed",
    "journal_conversation",
    "journal_handled",
    "audit_channel",
    "audit_made",
)

_COLUMN = re.compile(r"[(,]\s*`?(?!PRIMARY|UNIQUE|INDEX)(\w+)`? [A-Z]")


def columns_made(to_come: Sequence[Migration]) -> dict[str, set[str]]:
    """The columns of each table that these migrations make."""
    text = "".join(dict(_TEMPLATES)[migration.version] for migration in to_come)
    made = re.findall(r"CREATE TABLE IF NOT EXISTS \{(\w+)\} (\(.*?\)) ENGINE", text, re.DOTALL)
    return {table: set(_COLUMN.findall(columns)) for table, columns in made}


COMPARED = ("channel", "message_id", "message_type", "partition_key", "timer", "saga", "key", "worker", "owner")
"""Columns of ids and keys, whatever their table: they have no collation."""

MIGRATION_LOCK = "lock_versions"


def names(tables: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The tables, and their indexes: statements name those that they must go by."""
    return {**tables, **{index: quoted(prefix + index, "`") for index in INDEXES}}


def migrations(named: Mapping[str, str]) -> list[Migration]:
    """All migrations, with the tables named."""
    return [Migration.of(version, template, named) for version, template in _TEMPLATES]


def script(named: Mapping[str, str], now: str) -> str:
    """All migrations as one text, for those who apply schemas by hand; `now` as an expression."""
    return migrating.script([_VERSIONS.format_map(named)], migrations(named), versions=named["schema_version"], now=now)


def statements_of(script: str) -> list[str]:
    """The statements of a migration, one by one."""
    return [statement.strip() for statement in script.split(";\n") if statement.strip()]


def versions(schema: str | None, prefix: str) -> dict[str, Statement]:
    """The statements of migrating. No table lock would outlast the first change of the schema; a named lock does."""
    place = _text(schema) if schema else "DATABASE()"
    # A lock's name has 64 characters and is shared by all databases of the server.
    lock = f"SHA2(CONCAT({_bytes(place)}, '.{blake2b(prefix.encode(), digest_size=8).hexdigest()}'), 256)"
    in_place = f"information_schema.tables WHERE {_same('table_schema', place)}"
    ours = ", ".join(_bytes(_text(prefix + table)) for table in TABLES)
    return {
        "has_versions": Statement(
            f"SELECT COUNT(*) FROM {in_place} AND {_same('table_name', _text(prefix + 'schema_version'))}", gives=True
        ),
        "is_home": Statement(
            f"SELECT COUNT(*), @@character_set_client FROM {in_place} "
            f"AND {_same('table_name', _text(prefix + 'meta'))}",
            gives=True,
        ),
        "columns": Statement(
            _each_table(
                f"column_name FROM information_schema.columns WHERE {_same('table_schema', place)} AND {{same}}", prefix
            ),
            gives=True,
        ),
        "collations": _collations(place, prefix),
        "missing_indexes": _missing_indexes(place, prefix),
        "sizes": Statement(
            _each_table(f"data_length + index_length FROM {in_place} AND {{same}}", prefix),
            gives=True,
        ),
        "make_versions": Statement(_VERSIONS),
        MIGRATION_LOCK: Statement(f"SELECT GET_LOCK({lock}, 20)", gives=True),
        "unlock_versions": Statement(f"SELECT RELEASE_LOCK({lock})", gives=True),
        "versions": Statement("SELECT version, checksum FROM {schema_version}", gives=True),
        "put_version": Statement("INSERT INTO {schema_version} (version, checksum, applied_at) VALUES (?1, ?2, ?3)"),
        "engines": Statement(
            f"SELECT table_name, engine FROM {in_place} AND {_bytes('table_name')} IN ({ours}) AND engine <> 'InnoDB'",
            gives=True,
        ),
    }


def _collations(place: str, prefix: str) -> Statement:
    """Columns of ids and keys that have a collation."""
    columns = f"information_schema.columns WHERE {_same('table_schema', place)} AND {{same}}"
    named = ", ".join(f"'{name}'" for name in COMPARED)
    what = f"column_name, collation_name FROM {columns} AND collation_name IS NOT NULL AND column_name IN ({named})"
    return Statement(_each_table(what, prefix), gives=True)


def _missing_indexes(place: str, prefix: str) -> Statement:
    there = f"SELECT 1 FROM information_schema.statistics WHERE {_same('table_schema', place)} AND index_name = "
    looks = (
        f"SELECT {_text(prefix + name)} FROM DUAL WHERE NOT EXISTS ({there}{_text(prefix + name)})" for name in INDEXES
    )
    return Statement(" UNION ALL ".join(looks), gives=True)


def _each_table(what: str, prefix: str) -> str:
    """The same of each table; `{same}` stands for the condition that finds it."""
    conditions = ((table, _same("table_name", _text(prefix + table))) for table in TABLES)
    return " UNION ALL ".join(f"SELECT '{table}', {what.replace('{same}', same)}" for table, same in conditions)


def _text(name: str) -> str:
    """A name as a value, whatever is in it and however the session reads quotes and backslashes."""
    return f"CONVERT(X'{name.encode().hex()}' USING utf8mb4)"


def _bytes(name: str) -> str:
    """What tells a name from all others: there `é` equals `e`, and upper case lower case if so the server was set."""
    return f"CAST(IF(@@lower_case_table_names = 0, {name}, LOWER({name})) AS BINARY)"


def _same(column: str, name: str) -> str:
    return f"({column} = {name} AND {_bytes(column)} = {_bytes(name)})"  # the first part for the server to look there
