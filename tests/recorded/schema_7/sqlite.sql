CREATE TABLE IF NOT EXISTS sagabus_schema_version (
    version INTEGER PRIMARY KEY,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- migration 1, checksum a6a9ae3a7a9051c9
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

-- migration 2, checksum 11c1ee2052c2aea8
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

-- migration 3, checksum a2954fe53101a08e
ALTER TABLE sagabus_envelope ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sagabus_envelope ADD COLUMN excused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sagabus_dead_letter ADD COLUMN cause TEXT;
ALTER TABLE sagabus_instance ADD COLUMN shape TEXT;
ALTER TABLE sagabus_history ADD COLUMN shape TEXT;
ALTER TABLE sagabus_worker ADD COLUMN knows TEXT;

-- migration 4, checksum c79ad1516db39798
-- Keys that the owner fetches by cursors of their own, and the positions up to which those of the dead may have been.
ALTER TABLE sagabus_lane ADD COLUMN loud TEXT;
ALTER TABLE sagabus_lane ADD COLUMN suspect_keys TEXT;
-- Releases before could schedule for times before 1970, which are due and yet in no range of due times.
UPDATE sagabus_envelope SET due_at = 1 WHERE due_at < 0;

-- migration 5, checksum 1286a585139b20ae
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

-- migration 6, checksum 673defd072832bdf
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

-- migration 7, checksum c00b2fe1b09f13fd
ALTER TABLE sagabus_worker ADD COLUMN running TEXT;
ALTER TABLE sagabus_worker ADD COLUMN version TEXT;

INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (1, 'a6a9ae3a7a9051c9', unixepoch() * 1000000);

INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (2, '11c1ee2052c2aea8', unixepoch() * 1000000);

INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (3, 'a2954fe53101a08e', unixepoch() * 1000000);

INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (4, 'c79ad1516db39798', unixepoch() * 1000000);

INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (5, '1286a585139b20ae', unixepoch() * 1000000);

INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (6, '673defd072832bdf', unixepoch() * 1000000);

INSERT INTO sagabus_schema_version (version, checksum, applied_at) VALUES (7, 'c00b2fe1b09f13fd', unixepoch() * 1000000);
DELETE FROM sagabus_meta;
INSERT INTO sagabus_meta ("name", "value") VALUES ('crew', 2);
INSERT INTO sagabus_meta ("name", "value") VALUES ('lanes', 16);
INSERT INTO sagabus_meta ("name", "value") VALUES ('routing', 2);
DELETE FROM sagabus_envelope;
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (10, 'accounts', 13, 1894150800000000, '01b903f8-9400-7003-975b-33002e17934b', 'recorded.moved', 'A3', '{"account":"A3","amount":1}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 1, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (11, 'accounts', 13, 1894150800000000, '01b903f8-9400-7004-a073-0164005d69bc', 'recorded.moved', 'A3', '{"account":"A3","amount":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 1, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (12, 'stubborn', 3, 1894147500000000, '01b903f8-9400-7005-8044-3d06e94833cc', 'recorded.tried', 'S', '{"key":"S","number":1}', NULL, NULL, NULL, 1894147200000000, 1, 1894147200000000, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (16, 'stubborn', 3, 0, '01b903f8-9400-7007-bbf8-d3a892e17a95', 'recorded.tried', 'S', '{"key":"S","number":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (17, 'parking', 9, 0, '01b903f8-9400-7008-aa1f-eb7993dc2089', 'recorded.parked', 'P', '{"key":"P","number":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (22, 'notes', 13, 1894154400000000, '01b903f8-9400-700c-b860-b40985ec7989', 'recorded.noted', 'K0', '{"key":"K0","number":100}', NULL, NULL, NULL, 1894154400000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (25, 'notes', 13, 0, 'ready-0', 'recorded.noted', 'K0', '{"key":"K0","number":0}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (26, 'notes', 11, 0, 'ready-1', 'recorded.noted', 'K1', '{"key":"K1","number":1}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (27, 'notes', 1, 0, 'ready-2', 'recorded.noted', 'K2', '{"key":"K2","number":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (28, 'notes', 13, 0, 'ready-3', 'recorded.noted', 'K0', '{"key":"K0","number":3}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (29, 'notes', 11, 0, 'ready-4', 'recorded.noted', 'K1', '{"key":"K1","number":4}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (30, 'notes', 1, 0, 'ready-5', 'recorded.noted', 'K2', '{"key":"K2","number":5}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (31, 'notes', 13, 0, 'ready-6', 'recorded.noted', 'K0', '{"key":"K0","number":6}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (32, 'notes', 11, 0, 'ready-7', 'recorded.noted', 'K1', '{"key":"K1","number":7}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (33, 'notes', 1, 0, 'ready-8', 'recorded.noted', 'K2', '{"key":"K2","number":8}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO sagabus_envelope ("position", "channel", "lane", "due_at", "message_id", "message_type", "partition_key", "body", "headers", "correlation_id", "causation_id", "sent_at", "attempt", "failed_at", "timer", "stashed", "hops", "deaths", "excused") VALUES (5, 'accounts', 1, 1894150800000000, '38be453d23075494550ca679b8c3e2da', 'sagabus.timer', 'A1', '{}', NULL, 'opened-A1', 'opened-A1', 1894150800000000, 0, NULL, 'reminder', 0, 0, 0, 0);
DELETE FROM sagabus_instance;
INSERT INTO sagabus_instance ("saga", "key", "version", "read_version", "state", "status", "timers", "completed_at", "created_at", "updated_at", "shape") VALUES ('accounts', 'A1', 2, 1, '{"account":"A1","status":"open","moves":[5]}', 'open', '{"reminder":"38be453d23075494550ca679b8c3e2da"}', NULL, 1894147200000000, 1894147200000000, '2 1.ae493d54');
INSERT INTO sagabus_instance ("saga", "key", "version", "read_version", "state", "status", "timers", "completed_at", "created_at", "updated_at", "shape") VALUES ('accounts', 'A2', 2, 1, '{"account":"A2","status":"closed","moves":[]}', 'closed', NULL, 1894147200000000, 1894147200000000, 1894147200000000, '2 1.ae493d54');
INSERT INTO sagabus_instance ("saga", "key", "version", "read_version", "state", "status", "timers", "completed_at", "created_at", "updated_at", "shape") VALUES ('journal', 'charging', 1, 0, '{"what":"charging","numbers":[1]}', NULL, NULL, NULL, 1894147200000000, 1894147200000000, '1 1.494a3d98');
INSERT INTO sagabus_instance ("saga", "key", "version", "read_version", "state", "status", "timers", "completed_at", "created_at", "updated_at", "shape") VALUES ('journal', 'fragile', 1, 0, '{"what":"fragile","numbers":[2]}', NULL, NULL, NULL, 1894147200000000, 1894147200000000, '1 1.494a3d98');
DELETE FROM sagabus_history;
INSERT INTO sagabus_history ("position", "saga", "key", "version", "committed_at", "message_id", "message_type", "timer", "status", "completed", "state", "shape") VALUES (3, 'accounts', 'A1', 1, 1894147200000000, 'opened-A1', 'recorded.opened', NULL, 'open', 0, '{"account":"A1","status":"open","moves":[]}', '1.ae493d54');
INSERT INTO sagabus_history ("position", "saga", "key", "version", "committed_at", "message_id", "message_type", "timer", "status", "completed", "state", "shape") VALUES (4, 'accounts', 'A1', 2, 1894147200000000, '01b903f8-9400-7000-a21a-a2874871b428', 'recorded.moved', NULL, 'open', 0, '{"account":"A1","status":"open","moves":[5]}', '1.ae493d54');
INSERT INTO sagabus_history ("position", "saga", "key", "version", "committed_at", "message_id", "message_type", "timer", "status", "completed", "state", "shape") VALUES (5, 'accounts', 'A2', 1, 1894147200000000, '01b903f8-9400-7001-baf1-1a1750fc85f9', 'recorded.opened', NULL, 'open', 0, '{"account":"A2","status":"open","moves":[]}', '1.ae493d54');
INSERT INTO sagabus_history ("position", "saga", "key", "version", "committed_at", "message_id", "message_type", "timer", "status", "completed", "state", "shape") VALUES (6, 'accounts', 'A2', 2, 1894147200000000, '01b903f8-9400-7002-b1fa-83f11d21b75d', 'recorded.closed', NULL, 'closed', 1, '{"account":"A2","status":"closed","moves":[]}', '1.ae493d54');
DELETE FROM sagabus_inbox;
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('accounts', '01b903f8-9400-7000-a21a-a2874871b428', '55300db15a1841bfdfd0e06005e84ec8', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('accounts', '01b903f8-9400-7001-baf1-1a1750fc85f9', 'e5906934b77fd607518f770e6d392992', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('accounts', '01b903f8-9400-7002-b1fa-83f11d21b75d', '34eee14f5a340597b8a4b4936337df6f', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('accounts', '01b903f8-9400-7003-975b-33002e17934b', 'a5b4844a8a6a440ebcbe2b492e40e7aa', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('accounts', '01b903f8-9400-7004-a073-0164005d69bc', '974ee66b007e838f2cb6c46d2631489f', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('accounts', 'opened-A1', '2e36ad26045a9014e53d6b0b082c7087', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('charging', 'recorded.charged:O1', '', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('charging', 'charged-1', '2e89a6420c1c11415c3eed2e2f8b0650', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('charging', 'charged-2', 'f53a64cced69a859881caf7417fbf243', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('fragile', '01b903f8-9400-7009-b478-429f2e461a24', '17f21210ae57a2d1e6d4ef2d01ae0833', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('fragile', '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 'c4141698045174b1c600af932d603dc3', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('fragile', '01b903f8-9400-700b-ae45-8ef4547f2930', '5bd54836dc1f58d5e57ffc898cedd9de', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', '01b903f8-9400-700c-b860-b40985ec7989', '244d001b03d60470c3cde3c80025bb81', 1894154400000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-0', 'e5cf42ecbd448a43001f5b5bf836815b', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-1', '2cbbed27912a98c38cedf2d4e62d89f5', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-2', 'dd5a2cd49672492cf7188ddabf901a9a', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-3', 'aad5384432fa0075b9261260ce09e400', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-4', 'e92eb87ae532cbb4db6fa6e6380c84d3', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-5', '9dbd1f57eaa18869b6b24040cafd7b59', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-6', '1b99259bf2c22bbc55a7b8add0b58e55', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-7', '206b2feb5309480ce42791a581909923', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('notes', 'ready-8', 'f90eed4eebc49fd2e2f9d286111873e2', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('parking', '01b903f8-9400-7006-8881-8d0c00c9db64', '0bd083bb29049d458ec9e0b70a9df836', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('parking', '01b903f8-9400-7008-aa1f-eb7993dc2089', '0af10b729d7ab6cd214b7f81f0dd7300', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('stubborn', '01b903f8-9400-7005-8044-3d06e94833cc', '48403db178ccfc549879267c12fb13d6', 1894147200000000);
INSERT INTO sagabus_inbox ("channel", "message_id", "fingerprint", "stamp") VALUES ('stubborn', '01b903f8-9400-7007-bbf8-d3a892e17a95', 'd42c51a5d19e41915e1f7231d06cb483', 1894147200000000);
DELETE FROM sagabus_horizon;
INSERT INTO sagabus_horizon ("channel", "stamp") VALUES ('accounts', 1893542400000000);
INSERT INTO sagabus_horizon ("channel", "stamp") VALUES ('charging', 1893542400000000);
INSERT INTO sagabus_horizon ("channel", "stamp") VALUES ('fragile', 1893542400000000);
INSERT INTO sagabus_horizon ("channel", "stamp") VALUES ('journal', 1893542400000000);
INSERT INTO sagabus_horizon ("channel", "stamp") VALUES ('notes', 1893542400000000);
INSERT INTO sagabus_horizon ("channel", "stamp") VALUES ('parking', 1893542400000000);
INSERT INTO sagabus_horizon ("channel", "stamp") VALUES ('stubborn', 1893542400000000);
DELETE FROM sagabus_subscription;
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.broken', 'fragile', '{"message_type":"recorded.broken","channel":"fragile","kind":"event","key":null,"keyed":false,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.charged', 'charging', '{"message_type":"recorded.charged","channel":"charging","kind":"event","key":"order","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.closed', 'accounts', '{"message_type":"recorded.closed","channel":"accounts","kind":"event","key":"account","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.done', 'journal', '{"message_type":"recorded.done","channel":"journal","kind":"event","key":"what","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.moved', 'accounts', '{"message_type":"recorded.moved","channel":"accounts","kind":"event","key":"account","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.noted', 'notes', '{"message_type":"recorded.noted","channel":"notes","kind":"event","key":"key","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.opened', 'accounts', '{"message_type":"recorded.opened","channel":"accounts","kind":"event","key":"account","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.parked', 'parking', '{"message_type":"recorded.parked","channel":"parking","kind":"event","key":"key","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO sagabus_subscription ("message_type", "channel", "definition") VALUES ('recorded.tried', 'stubborn', '{"message_type":"recorded.tried","channel":"stubborn","kind":"event","key":"key","keyed":true,"window":604800000000,"deduplicated":true}');
DELETE FROM sagabus_worker;
INSERT INTO sagabus_worker ("worker", "channel", "expires_at", "lease_length", "knows", "running", "version") VALUES ('01b8dac5-b400-7000-a56f-abacc55f14e3', 'accounts', 1894147210000000, 10000000, '["recorded.closed","recorded.moved","recorded.opened","timer reminder"]', NULL, '0.1.0');
INSERT INTO sagabus_worker ("worker", "channel", "expires_at", "lease_length", "knows", "running", "version") VALUES ('01b8dac5-b400-7000-a56f-abacc55f14e3', 'charging', 1894147210000000, 10000000, '["recorded.charged"]', NULL, '0.1.0');
INSERT INTO sagabus_worker ("worker", "channel", "expires_at", "lease_length", "knows", "running", "version") VALUES ('01b8dac5-b400-7000-a56f-abacc55f14e3', 'fragile', 1894147210000000, 10000000, '["recorded.broken"]', NULL, '0.1.0');
INSERT INTO sagabus_worker ("worker", "channel", "expires_at", "lease_length", "knows", "running", "version") VALUES ('01b8dac5-b400-7000-a56f-abacc55f14e3', 'journal', 1894147210000000, 10000000, '["recorded.done"]', NULL, '0.1.0');
INSERT INTO sagabus_worker ("worker", "channel", "expires_at", "lease_length", "knows", "running", "version") VALUES ('01b8dac5-b400-7000-a56f-abacc55f14e3', 'notes', 1894147210000000, 10000000, '["recorded.noted"]', NULL, '0.1.0');
INSERT INTO sagabus_worker ("worker", "channel", "expires_at", "lease_length", "knows", "running", "version") VALUES ('01b8dac5-b400-7000-a56f-abacc55f14e3', 'parking', 1894147210000000, 10000000, '["recorded.parked"]', NULL, '0.1.0');
INSERT INTO sagabus_worker ("worker", "channel", "expires_at", "lease_length", "knows", "running", "version") VALUES ('01b8dac5-b400-7000-a56f-abacc55f14e3', 'stubborn', 1894147210000000, 10000000, '["recorded.tried"]', NULL, '0.1.0');
DELETE FROM sagabus_lane;
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 0, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 1, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 10, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 11, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 12, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 13, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 14, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 15, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 2, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 3, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 4, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 5, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 6, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 7, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 8, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('accounts', 9, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 0, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 1, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 10, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 11, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 12, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 13, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 14, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 15, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 2, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 3, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 4, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 5, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 6, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 7, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 8, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('charging', 9, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 0, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 1, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 10, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 11, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 12, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 13, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 14, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 15, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 2, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 3, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 4, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 5, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 6, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 7, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 8, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('fragile', 9, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 0, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 1, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 10, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 11, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 12, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 13, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 14, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 15, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 2, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 3, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 4, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 5, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 6, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 7, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 8, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('journal', 9, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 0, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 1, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 10, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 11, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 12, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 13, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 14, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 15, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 2, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 3, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 4, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 5, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 6, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 7, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 8, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('notes', 9, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 0, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 1, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 10, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 11, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 12, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 13, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 14, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 15, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 2, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 3, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 4, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 5, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 6, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 7, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 8, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('parking', 9, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 0, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 1, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 10, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 11, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 12, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 13, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 14, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 15, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 2, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 3, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 4, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 5, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 6, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 7, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 8, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO sagabus_lane ("channel", "lane", "owner", "epoch", "expires_at", "lease_length", "held_window", "suspect_until", "loud", "suspect_keys") VALUES ('stubborn', 9, '01b8dac5-b400-7000-a56f-abacc55f14e3', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
DELETE FROM sagabus_held_key;
INSERT INTO sagabus_held_key ("channel", "partition_key", "position") VALUES ('parking', 'P', 0);
INSERT INTO sagabus_held_key ("channel", "partition_key", "position") VALUES ('stubborn', 'S', 12);
DELETE FROM sagabus_dead_letter;
INSERT INTO sagabus_dead_letter ("id", "channel", "message_id", "fingerprint", "status", "envelope", "body", "reason", "error_type", "error_text", "traceback", "attempts", "first_failed_at", "last_failed_at", "closed_at", "parked", "cause") VALUES (1, 'accounts', 'late', '7c46892df33a3fb26c9972cc78444717', 'open', '["accounts",6,"late","recorded.opened","ancient",null,null,null,1893456000000000,0,null,null,0,0]', '{"account":"ancient"}', 'too old: stamped before the de-duplication horizon', NULL, NULL, NULL, 0, 1894147200000000, 1894147200000000, NULL, 0, 'too old');
INSERT INTO sagabus_dead_letter ("id", "channel", "message_id", "fingerprint", "status", "envelope", "body", "reason", "error_type", "error_text", "traceback", "attempts", "first_failed_at", "last_failed_at", "closed_at", "parked", "cause") VALUES (2, 'parking', '01b903f8-9400-7006-8881-8d0c00c9db64', '0bd083bb29049d458ec9e0b70a9df836', 'open', '["parking",9,"01b903f8-9400-7006-8881-8d0c00c9db64","recorded.parked","P",null,null,null,1894147200000000,0,null,null,0,0]', '{"key":"P","number":1}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
  File "shop.py", line 99, in begin
    begun = context.run(consumer.begin, mailbox, envelope, True)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 102, in begin
    returned = called(reaction, None, message, ctx, around.enter)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 59, in called
    returned = reaction.invoke(state, message, ctx, None)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 69, in <lambda>
    return lambda _, message, ctx, __: function(message, ctx)
                                       ^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 146, in park
    _fail_or_tell("parking", message.number, ctx)
  File "shop.py", line 130, in _fail_or_tell
    raise ValueError("not yet")
ValueError: not yet
', 1, 1894147200000000, 1894147200000000, NULL, 1, 'failed');
INSERT INTO sagabus_dead_letter ("id", "channel", "message_id", "fingerprint", "status", "envelope", "body", "reason", "error_type", "error_text", "traceback", "attempts", "first_failed_at", "last_failed_at", "closed_at", "parked", "cause") VALUES (3, 'fragile', '01b903f8-9400-7009-b478-429f2e461a24', '17f21210ae57a2d1e6d4ef2d01ae0833', 'discarded', '["fragile",5,"01b903f8-9400-7009-b478-429f2e461a24","recorded.broken",null,null,null,null,1894147200000000,0,null,null,0,0]', '{"number":1}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
  File "shop.py", line 99, in begin
    begun = context.run(consumer.begin, mailbox, envelope, True)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 102, in begin
    returned = called(reaction, None, message, ctx, around.enter)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 59, in called
    returned = reaction.invoke(state, message, ctx, None)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 69, in <lambda>
    return lambda _, message, ctx, __: function(message, ctx)
                                       ^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 151, in drop
    _fail_or_tell("fragile", message.number, ctx)
  File "shop.py", line 130, in _fail_or_tell
    raise ValueError("not yet")
ValueError: not yet
', 1, 1894147200000000, 1894147200000000, 1894147200000000, 0, 'failed');
INSERT INTO sagabus_dead_letter ("id", "channel", "message_id", "fingerprint", "status", "envelope", "body", "reason", "error_type", "error_text", "traceback", "attempts", "first_failed_at", "last_failed_at", "closed_at", "parked", "cause") VALUES (4, 'fragile', '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 'c4141698045174b1c600af932d603dc3', 'replayed', '["fragile",8,"01b903f8-9400-700a-a3c4-c1bfc9a2bf11","recorded.broken",null,null,null,null,1894147200000000,0,null,null,0,0]', '{"number":2}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
  File "shop.py", line 99, in begin
    begun = context.run(consumer.begin, mailbox, envelope, True)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 102, in begin
    returned = called(reaction, None, message, ctx, around.enter)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 59, in called
    returned = reaction.invoke(state, message, ctx, None)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 69, in <lambda>
    return lambda _, message, ctx, __: function(message, ctx)
                                       ^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 151, in drop
    _fail_or_tell("fragile", message.number, ctx)
  File "shop.py", line 130, in _fail_or_tell
    raise ValueError("not yet")
ValueError: not yet
', 1, 1894147200000000, 1894147200000000, 1894147200000000, 0, 'failed');
INSERT INTO sagabus_dead_letter ("id", "channel", "message_id", "fingerprint", "status", "envelope", "body", "reason", "error_type", "error_text", "traceback", "attempts", "first_failed_at", "last_failed_at", "closed_at", "parked", "cause") VALUES (5, 'fragile', '01b903f8-9400-700b-ae45-8ef4547f2930', '5bd54836dc1f58d5e57ffc898cedd9de', 'open', '["fragile",10,"01b903f8-9400-700b-ae45-8ef4547f2930","recorded.broken",null,null,null,null,1894147200000000,0,null,null,0,0]', '{"number":3}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
  File "shop.py", line 99, in begin
    begun = context.run(consumer.begin, mailbox, envelope, True)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 102, in begin
    returned = called(reaction, None, message, ctx, around.enter)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 59, in called
    returned = reaction.invoke(state, message, ctx, None)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 69, in <lambda>
    return lambda _, message, ctx, __: function(message, ctx)
                                       ^^^^^^^^^^^^^^^^^^^^^^
  File "shop.py", line 151, in drop
    _fail_or_tell("fragile", message.number, ctx)
  File "shop.py", line 130, in _fail_or_tell
    raise ValueError("not yet")
ValueError: not yet
', 1, 1894147200000000, 1894147200000000, NULL, 0, 'failed');
DELETE FROM sagabus_journal;
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (10, '01b903f8-9400-7006-8881-8d0c00c9db64', 1894147200000000, 'parking', '01b903f8-9400-7006-8881-8d0c00c9db64', 'recorded.parked', 'P', NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (11, 'charged-1', 1894147200000000, 'charging', 'charged-1', 'recorded.charged', 'O1', NULL, NULL, 1894147200000000, 1, 'completed', NULL, NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (12, 'charged-1', 1894147200000000, 'journal', '6f9427ac39b3c97370de99cbc0f38b14', 'recorded.done', 'charging', NULL, 'charged-1', 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (13, 'charged-2', 1894147200000000, 'charging', 'charged-2', 'recorded.charged', 'O1', NULL, NULL, 1894147200000000, 1, 'discarded', NULL, NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (14, '01b903f8-9400-7009-b478-429f2e461a24', 1894147200000000, 'fragile', '01b903f8-9400-7009-b478-429f2e461a24', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (15, '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 1894147200000000, 'fragile', '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (16, '01b903f8-9400-700b-ae45-8ef4547f2930', 1894147200000000, 'fragile', '01b903f8-9400-700b-ae45-8ef4547f2930', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (17, '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 1894147200000000, 'fragile', '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'completed', NULL, NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (18, '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 1894147200000000, 'journal', '12a77b800d902eb7527c4dd0ec94621c', 'recorded.done', 'fragile', NULL, '01b903f8-9400-700a-a3c4-c1bfc9a2bf11', 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (3, 'opened-A1', 1894147200000000, 'accounts', 'opened-A1', 'recorded.opened', 'A1', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (4, '01b903f8-9400-7000-a21a-a2874871b428', 1894147200000000, 'accounts', '01b903f8-9400-7000-a21a-a2874871b428', 'recorded.moved', 'A1', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 2, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (5, '01b903f8-9400-7001-baf1-1a1750fc85f9', 1894147200000000, 'accounts', '01b903f8-9400-7001-baf1-1a1750fc85f9', 'recorded.opened', 'A2', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (6, '01b903f8-9400-7002-b1fa-83f11d21b75d', 1894147200000000, 'accounts', '01b903f8-9400-7002-b1fa-83f11d21b75d', 'recorded.closed', 'A2', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 2, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (7, '01b903f8-9400-7003-975b-33002e17934b', 1894147200000000, 'accounts', '01b903f8-9400-7003-975b-33002e17934b', 'recorded.moved', 'A3', NULL, NULL, 1894147200000000, 1, 'stashed', NULL, 0, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (8, '01b903f8-9400-7004-a073-0164005d69bc', 1894147200000000, 'accounts', '01b903f8-9400-7004-a073-0164005d69bc', 'recorded.moved', 'A3', NULL, NULL, 1894147200000000, 1, 'stashed', NULL, 0, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
INSERT INTO sagabus_journal ("position", "correlation_id", "handled_at", "subscription", "message_id", "message_type", "key", "timer", "causation_id", "sent_at", "attempt", "outcome", "error", "version", "duration", "worker") VALUES (9, '01b903f8-9400-7005-8044-3d06e94833cc', 1894147200000000, 'stubborn', '01b903f8-9400-7005-8044-3d06e94833cc', 'recorded.tried', 'S', NULL, NULL, 1894147200000000, 1, 'retried', 'ValueError', NULL, 0, '01b8dac5-b400-7000-a56f-abacc55f14e3');
DELETE FROM sagabus_audit;
INSERT INTO sagabus_audit ("id", "made_at", "made_by", "verb", "channel", "target", "reason", "was", "became") VALUES (1, 1894147200000000, 'root', 'dead-letter.discard', 'fragile', '3', 'a test', '{"status":"open","parked":false}', '{"status":"discarded","result":"done"}');
INSERT INTO sagabus_audit ("id", "made_at", "made_by", "verb", "channel", "target", "reason", "was", "became") VALUES (2, 1894147200000000, 'root', 'dead-letter.replay', 'fragile', '4', 'a test', '{"status":"open","parked":false}', '{"status":"replayed","result":"done"}');
DELETE FROM sagabus_paused;
DELETE FROM sagabus_schema_version;
INSERT INTO sagabus_schema_version ("version", "checksum", "applied_at") VALUES (1, 'a6a9ae3a7a9051c9', 1893456000000000);
INSERT INTO sagabus_schema_version ("version", "checksum", "applied_at") VALUES (2, '11c1ee2052c2aea8', 1893456000000000);
INSERT INTO sagabus_schema_version ("version", "checksum", "applied_at") VALUES (3, 'a2954fe53101a08e', 1893456000000000);
INSERT INTO sagabus_schema_version ("version", "checksum", "applied_at") VALUES (4, 'c79ad1516db39798', 1893456000000000);
INSERT INTO sagabus_schema_version ("version", "checksum", "applied_at") VALUES (5, '1286a585139b20ae', 1893456000000000);
INSERT INTO sagabus_schema_version ("version", "checksum", "applied_at") VALUES (6, '673defd072832bdf', 1893456000000000);
INSERT INTO sagabus_schema_version ("version", "checksum", "applied_at") VALUES (7, 'c00b2fe1b09f13fd', 1893456000000000);
UPDATE sqlite_sequence SET seq = 33 WHERE name = 'sagabus_envelope';
UPDATE sqlite_sequence SET seq = 5 WHERE name = 'sagabus_dead_letter';
UPDATE sqlite_sequence SET seq = 6 WHERE name = 'sagabus_history';
UPDATE sqlite_sequence SET seq = 18 WHERE name = 'sagabus_journal';
UPDATE sqlite_sequence SET seq = 2 WHERE name = 'sagabus_audit';
