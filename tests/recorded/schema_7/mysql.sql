CREATE TABLE IF NOT EXISTS `recorded_schema_version` (version INT NOT NULL PRIMARY KEY, checksum VARBINARY(64) NOT NULL, applied_at BIGINT NOT NULL) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- migration 1, checksum f3a0a5165f018d24
CREATE TABLE IF NOT EXISTS `recorded_meta` (name VARBINARY(64) NOT NULL PRIMARY KEY, value BIGINT NOT NULL) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT INTO `recorded_meta` (name, value)
VALUES ('routing', 1), ('purge', 0), ('identity', CONV(LEFT(SHA2(UUID(), 256), 15), 16, 10))
ON DUPLICATE KEY UPDATE name = name;

CREATE TABLE IF NOT EXISTS `recorded_envelope` (
    position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    channel VARBINARY(255) NOT NULL,
    lane INT NOT NULL,
    due_at BIGINT NOT NULL,
    message_id VARBINARY(804) NOT NULL,
    message_type VARBINARY(255) NOT NULL,
    partition_key VARBINARY(2004),
    body LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    headers LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    correlation_id BLOB,
    causation_id BLOB,
    sent_at BIGINT NOT NULL,
    attempt INT NOT NULL,
    failed_at BIGINT,
    timer VARBINARY(512),
    stashed INT NOT NULL,
    hops INT NOT NULL,
    scheduled TINYINT GENERATED ALWAYS AS (due_at > 0) STORED,
    waits VARBINARY(2004) GENERATED ALWAYS AS (IF(timer IS NOT NULL OR stashed = 1, partition_key, NULL)) STORED,
    INDEX `recorded_envelope_due` (channel, lane, scheduled, due_at, position),
    UNIQUE INDEX `recorded_envelope_waits` (waits, channel, timer)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS `recorded_instance` (
    saga VARBINARY(255) NOT NULL,
    `key` VARBINARY(2004) NOT NULL,
    version BIGINT NOT NULL,
    read_version BIGINT NOT NULL,
    state LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    status BLOB,
    timers LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    completed_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (saga, `key`),
    INDEX `recorded_instance_completed` (saga, completed_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS `recorded_inbox` (
    channel VARBINARY(255) NOT NULL,
    message_id VARBINARY(2004) NOT NULL,
    fingerprint VARBINARY(64) NOT NULL,
    stamp BIGINT NOT NULL,
    PRIMARY KEY (channel, message_id),
    INDEX `recorded_inbox_stamp` (channel, stamp)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `recorded_horizon` (channel VARBINARY(255) NOT NULL PRIMARY KEY, stamp BIGINT NOT NULL) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS `recorded_subscription` (
    message_type VARBINARY(255) NOT NULL,
    channel VARBINARY(255) NOT NULL,
    definition LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (message_type, channel)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS `recorded_worker` (
    worker VARBINARY(512) NOT NULL,
    channel VARBINARY(255) NOT NULL,
    expires_at BIGINT NOT NULL,
    lease_length BIGINT NOT NULL,
    PRIMARY KEY (worker, channel)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `recorded_lane` (
    channel VARBINARY(255) NOT NULL,
    lane INT NOT NULL,
    owner VARBINARY(512),
    epoch BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lease_length BIGINT NOT NULL,
    held_window BIGINT NOT NULL,
    suspect_until BIGINT NOT NULL,
    PRIMARY KEY (channel, lane)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS `recorded_held_key` (
    channel VARBINARY(255) NOT NULL,
    partition_key VARBINARY(2004) NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (channel, partition_key),
    INDEX `recorded_held_key_position` (position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS `recorded_dead_letter` (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    channel VARBINARY(255) NOT NULL,
    message_id VARBINARY(804) NOT NULL,
    fingerprint VARBINARY(64) NOT NULL,
    status VARBINARY(32) NOT NULL,
    envelope LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    body LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    reason LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    error_type LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    error_text LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    traceback LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    attempts INT NOT NULL,
    first_failed_at BIGINT,
    last_failed_at BIGINT NOT NULL,
    closed_at BIGINT,
    parked INT NOT NULL,
    UNIQUE INDEX `recorded_dead_letter_message` (channel, message_id, fingerprint),
    INDEX `recorded_dead_letter_status` (status, id),
    INDEX `recorded_dead_letter_closed` (channel, closed_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- migration 2, checksum a7ff2ffb818bda7e
-- By position, not by version: nothing in a history may make a commit fail, or take one transition for another.
CREATE TABLE IF NOT EXISTS `recorded_history` (
    position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    saga VARBINARY(255) NOT NULL,
    `key` VARBINARY(2004) NOT NULL,
    version BIGINT NOT NULL,
    committed_at BIGINT NOT NULL,
    message_id VARBINARY(804) NOT NULL,
    message_type VARBINARY(255) NOT NULL,
    timer VARBINARY(512),
    status BLOB,
    completed INT NOT NULL,
    state LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    INDEX `recorded_history_instance` (saga, `key`, position),
    INDEX `recorded_history_committed` (saga, committed_at, position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- migration 3, checksum d18e7ee953d2ec6a
ALTER TABLE `recorded_envelope` ADD COLUMN deaths INT NOT NULL DEFAULT 0;
ALTER TABLE `recorded_envelope` ADD COLUMN excused INT NOT NULL DEFAULT 0;
ALTER TABLE `recorded_dead_letter` ADD COLUMN cause VARBINARY(64);
ALTER TABLE `recorded_instance` ADD COLUMN shape LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
ALTER TABLE `recorded_history` ADD COLUMN shape LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
ALTER TABLE `recorded_worker` ADD COLUMN knows LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- migration 4, checksum 90326253cc9a08a6
ALTER TABLE `recorded_lane` ADD COLUMN loud LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
ALTER TABLE `recorded_lane` ADD COLUMN suspect_keys LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
UPDATE `recorded_envelope` SET due_at = 1 WHERE due_at < 0;

-- migration 5, checksum b27c25bb01bd757e
CREATE TABLE IF NOT EXISTS `recorded_journal` (
    position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    correlation_id VARBINARY(804) NOT NULL,
    handled_at BIGINT NOT NULL,
    subscription VARBINARY(255) NOT NULL,
    message_id VARBINARY(804) NOT NULL,
    message_type VARBINARY(255) NOT NULL,
    `key` VARBINARY(2004),
    timer VARBINARY(512),
    causation_id BLOB,
    sent_at BIGINT NOT NULL,
    attempt INT NOT NULL,
    outcome VARBINARY(32) NOT NULL,
    error BLOB,
    version BIGINT,
    duration BIGINT NOT NULL,
    worker VARBINARY(512) NOT NULL,
    INDEX `recorded_journal_conversation` (correlation_id, handled_at, position),
    INDEX `recorded_journal_handled` (subscription, handled_at, position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- migration 6, checksum 85458b7ffc0ee1ce
CREATE TABLE IF NOT EXISTS `recorded_audit` (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    made_at BIGINT NOT NULL,
    made_by LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    verb VARBINARY(64) NOT NULL,
    channel VARBINARY(255) NOT NULL,
    target LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    reason LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    was LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    became LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    INDEX `recorded_audit_channel` (channel, id),
    INDEX `recorded_audit_made` (channel, made_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `recorded_paused` (
    channel VARBINARY(255) NOT NULL,
    paused_at BIGINT NOT NULL,
    paused_by LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    reason LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (channel)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- migration 7, checksum 5afb950ecab4cd24
ALTER TABLE `recorded_worker` ADD COLUMN running LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, ADD COLUMN version LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO `recorded_schema_version` (version, checksum, applied_at) VALUES (1, 'f3a0a5165f018d24', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));

INSERT INTO `recorded_schema_version` (version, checksum, applied_at) VALUES (2, 'a7ff2ffb818bda7e', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));

INSERT INTO `recorded_schema_version` (version, checksum, applied_at) VALUES (3, 'd18e7ee953d2ec6a', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));

INSERT INTO `recorded_schema_version` (version, checksum, applied_at) VALUES (4, '90326253cc9a08a6', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));

INSERT INTO `recorded_schema_version` (version, checksum, applied_at) VALUES (5, 'b27c25bb01bd757e', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));

INSERT INTO `recorded_schema_version` (version, checksum, applied_at) VALUES (6, '85458b7ffc0ee1ce', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));

INSERT INTO `recorded_schema_version` (version, checksum, applied_at) VALUES (7, '5afb950ecab4cd24', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));
SET autocommit = 0;
DELETE FROM `recorded_meta`;
INSERT INTO `recorded_meta` (`name`, `value`) VALUES ('crew', 2);
INSERT INTO `recorded_meta` (`name`, `value`) VALUES ('identity', 502655847370880274);
INSERT INTO `recorded_meta` (`name`, `value`) VALUES ('lanes', 16);
INSERT INTO `recorded_meta` (`name`, `value`) VALUES ('purge', 0);
INSERT INTO `recorded_meta` (`name`, `value`) VALUES ('routing', 2);
DELETE FROM `recorded_envelope`;
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (10, 'accounts', 13, 1894150800000000, '01b903f8-9400-7003-8d03-8801d4e1e7d5', 'recorded.moved', 'A3', '{"account":"A3","amount":1}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 1, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (11, 'accounts', 13, 1894150800000000, '01b903f8-9400-7004-96d0-d3451f1619f2', 'recorded.moved', 'A3', '{"account":"A3","amount":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 1, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (12, 'stubborn', 3, 1894147500000000, '01b903f8-9400-7005-ba72-6d8cd01a063b', 'recorded.tried', 'S', '{"key":"S","number":1}', NULL, NULL, NULL, 1894147200000000, 1, 1894147200000000, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (16, 'stubborn', 3, 0, '01b903f8-9400-7007-a82f-17306bd8e058', 'recorded.tried', 'S', '{"key":"S","number":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (17, 'parking', 9, 0, '01b903f8-9400-7008-af16-f8f21f776862', 'recorded.parked', 'P', '{"key":"P","number":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (22, 'notes', 13, 1894154400000000, '01b903f8-9400-700c-bf62-68b3685770ee', 'recorded.noted', 'K0', '{"key":"K0","number":100}', NULL, NULL, NULL, 1894154400000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (25, 'notes', 13, 0, 'ready-0', 'recorded.noted', 'K0', '{"key":"K0","number":0}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (26, 'notes', 11, 0, 'ready-1', 'recorded.noted', 'K1', '{"key":"K1","number":1}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (27, 'notes', 1, 0, 'ready-2', 'recorded.noted', 'K2', '{"key":"K2","number":2}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (28, 'notes', 13, 0, 'ready-3', 'recorded.noted', 'K0', '{"key":"K0","number":3}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (29, 'notes', 11, 0, 'ready-4', 'recorded.noted', 'K1', '{"key":"K1","number":4}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (30, 'notes', 1, 0, 'ready-5', 'recorded.noted', 'K2', '{"key":"K2","number":5}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (31, 'notes', 13, 0, 'ready-6', 'recorded.noted', 'K0', '{"key":"K0","number":6}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (32, 'notes', 11, 0, 'ready-7', 'recorded.noted', 'K1', '{"key":"K1","number":7}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (33, 'notes', 1, 0, 'ready-8', 'recorded.noted', 'K2', '{"key":"K2","number":8}', NULL, NULL, NULL, 1894147200000000, 0, NULL, NULL, 0, 0, 0, 0);
INSERT INTO `recorded_envelope` (`position`, `channel`, `lane`, `due_at`, `message_id`, `message_type`, `partition_key`, `body`, `headers`, `correlation_id`, `causation_id`, `sent_at`, `attempt`, `failed_at`, `timer`, `stashed`, `hops`, `deaths`, `excused`) VALUES (5, 'accounts', 1, 1894150800000000, '38be453d23075494550ca679b8c3e2da', 'sagabus.timer', 'A1', '{}', NULL, 'opened-A1', 'opened-A1', 1894150800000000, 0, NULL, 'reminder', 0, 0, 0, 0);
DELETE FROM `recorded_instance`;
INSERT INTO `recorded_instance` (`saga`, `key`, `version`, `read_version`, `state`, `status`, `timers`, `completed_at`, `created_at`, `updated_at`, `shape`) VALUES ('accounts', 'A1', 2, 1, '{"account":"A1","status":"open","moves":[5]}', 'open', '{"reminder":"38be453d23075494550ca679b8c3e2da"}', NULL, 1894147200000000, 1894147200000000, '2 1.ae493d54');
INSERT INTO `recorded_instance` (`saga`, `key`, `version`, `read_version`, `state`, `status`, `timers`, `completed_at`, `created_at`, `updated_at`, `shape`) VALUES ('accounts', 'A2', 2, 1, '{"account":"A2","status":"closed","moves":[]}', 'closed', NULL, 1894147200000000, 1894147200000000, 1894147200000000, '2 1.ae493d54');
INSERT INTO `recorded_instance` (`saga`, `key`, `version`, `read_version`, `state`, `status`, `timers`, `completed_at`, `created_at`, `updated_at`, `shape`) VALUES ('journal', 'charging', 1, 0, '{"what":"charging","numbers":[1]}', NULL, NULL, NULL, 1894147200000000, 1894147200000000, '1 1.494a3d98');
INSERT INTO `recorded_instance` (`saga`, `key`, `version`, `read_version`, `state`, `status`, `timers`, `completed_at`, `created_at`, `updated_at`, `shape`) VALUES ('journal', 'fragile', 1, 0, '{"what":"fragile","numbers":[2]}', NULL, NULL, NULL, 1894147200000000, 1894147200000000, '1 1.494a3d98');
DELETE FROM `recorded_history`;
INSERT INTO `recorded_history` (`position`, `saga`, `key`, `version`, `committed_at`, `message_id`, `message_type`, `timer`, `status`, `completed`, `state`, `shape`) VALUES (3, 'accounts', 'A1', 1, 1894147200000000, 'opened-A1', 'recorded.opened', NULL, 'open', 0, '{"account":"A1","status":"open","moves":[]}', '1.ae493d54');
INSERT INTO `recorded_history` (`position`, `saga`, `key`, `version`, `committed_at`, `message_id`, `message_type`, `timer`, `status`, `completed`, `state`, `shape`) VALUES (4, 'accounts', 'A1', 2, 1894147200000000, '01b903f8-9400-7000-ac05-b7fd9bbed7aa', 'recorded.moved', NULL, 'open', 0, '{"account":"A1","status":"open","moves":[5]}', '1.ae493d54');
INSERT INTO `recorded_history` (`position`, `saga`, `key`, `version`, `committed_at`, `message_id`, `message_type`, `timer`, `status`, `completed`, `state`, `shape`) VALUES (5, 'accounts', 'A2', 1, 1894147200000000, '01b903f8-9400-7001-8ee6-be811101b7c3', 'recorded.opened', NULL, 'open', 0, '{"account":"A2","status":"open","moves":[]}', '1.ae493d54');
INSERT INTO `recorded_history` (`position`, `saga`, `key`, `version`, `committed_at`, `message_id`, `message_type`, `timer`, `status`, `completed`, `state`, `shape`) VALUES (6, 'accounts', 'A2', 2, 1894147200000000, '01b903f8-9400-7002-8f32-5befac7c5bcb', 'recorded.closed', NULL, 'closed', 1, '{"account":"A2","status":"closed","moves":[]}', '1.ae493d54');
DELETE FROM `recorded_inbox`;
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('accounts', '01b903f8-9400-7000-ac05-b7fd9bbed7aa', '55300db15a1841bfdfd0e06005e84ec8', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('accounts', '01b903f8-9400-7001-8ee6-be811101b7c3', 'e5906934b77fd607518f770e6d392992', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('accounts', '01b903f8-9400-7002-8f32-5befac7c5bcb', '34eee14f5a340597b8a4b4936337df6f', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('accounts', '01b903f8-9400-7003-8d03-8801d4e1e7d5', 'a5b4844a8a6a440ebcbe2b492e40e7aa', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('accounts', '01b903f8-9400-7004-96d0-d3451f1619f2', '974ee66b007e838f2cb6c46d2631489f', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('accounts', 'opened-A1', '2e36ad26045a9014e53d6b0b082c7087', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('charging', 'recorded.charged:O1', '', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('charging', 'charged-1', '2e89a6420c1c11415c3eed2e2f8b0650', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('charging', 'charged-2', 'f53a64cced69a859881caf7417fbf243', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('fragile', '01b903f8-9400-7009-a712-0eb6b5c7dd14', '17f21210ae57a2d1e6d4ef2d01ae0833', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('fragile', '01b903f8-9400-700a-b4c7-89655182d7d5', 'c4141698045174b1c600af932d603dc3', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('fragile', '01b903f8-9400-700b-ae0e-09d31839b381', '5bd54836dc1f58d5e57ffc898cedd9de', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', '01b903f8-9400-700c-bf62-68b3685770ee', '244d001b03d60470c3cde3c80025bb81', 1894154400000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-0', 'e5cf42ecbd448a43001f5b5bf836815b', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-1', '2cbbed27912a98c38cedf2d4e62d89f5', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-2', 'dd5a2cd49672492cf7188ddabf901a9a', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-3', 'aad5384432fa0075b9261260ce09e400', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-4', 'e92eb87ae532cbb4db6fa6e6380c84d3', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-5', '9dbd1f57eaa18869b6b24040cafd7b59', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-6', '1b99259bf2c22bbc55a7b8add0b58e55', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-7', '206b2feb5309480ce42791a581909923', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('notes', 'ready-8', 'f90eed4eebc49fd2e2f9d286111873e2', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('parking', '01b903f8-9400-7006-b153-93ff95c01c34', '0bd083bb29049d458ec9e0b70a9df836', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('parking', '01b903f8-9400-7008-af16-f8f21f776862', '0af10b729d7ab6cd214b7f81f0dd7300', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('stubborn', '01b903f8-9400-7005-ba72-6d8cd01a063b', '48403db178ccfc549879267c12fb13d6', 1894147200000000);
INSERT INTO `recorded_inbox` (`channel`, `message_id`, `fingerprint`, `stamp`) VALUES ('stubborn', '01b903f8-9400-7007-a82f-17306bd8e058', 'd42c51a5d19e41915e1f7231d06cb483', 1894147200000000);
DELETE FROM `recorded_horizon`;
INSERT INTO `recorded_horizon` (`channel`, `stamp`) VALUES ('accounts', 1893542400000000);
INSERT INTO `recorded_horizon` (`channel`, `stamp`) VALUES ('charging', 1893542400000000);
INSERT INTO `recorded_horizon` (`channel`, `stamp`) VALUES ('fragile', 1893542400000000);
INSERT INTO `recorded_horizon` (`channel`, `stamp`) VALUES ('journal', 1893542400000000);
INSERT INTO `recorded_horizon` (`channel`, `stamp`) VALUES ('notes', 1893542400000000);
INSERT INTO `recorded_horizon` (`channel`, `stamp`) VALUES ('parking', 1893542400000000);
INSERT INTO `recorded_horizon` (`channel`, `stamp`) VALUES ('stubborn', 1893542400000000);
DELETE FROM `recorded_subscription`;
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.broken', 'fragile', '{"message_type":"recorded.broken","channel":"fragile","kind":"event","key":null,"keyed":false,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.charged', 'charging', '{"message_type":"recorded.charged","channel":"charging","kind":"event","key":"order","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.closed', 'accounts', '{"message_type":"recorded.closed","channel":"accounts","kind":"event","key":"account","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.done', 'journal', '{"message_type":"recorded.done","channel":"journal","kind":"event","key":"what","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.moved', 'accounts', '{"message_type":"recorded.moved","channel":"accounts","kind":"event","key":"account","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.noted', 'notes', '{"message_type":"recorded.noted","channel":"notes","kind":"event","key":"key","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.opened', 'accounts', '{"message_type":"recorded.opened","channel":"accounts","kind":"event","key":"account","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.parked', 'parking', '{"message_type":"recorded.parked","channel":"parking","kind":"event","key":"key","keyed":true,"window":604800000000,"deduplicated":true}');
INSERT INTO `recorded_subscription` (`message_type`, `channel`, `definition`) VALUES ('recorded.tried', 'stubborn', '{"message_type":"recorded.tried","channel":"stubborn","kind":"event","key":"key","keyed":true,"window":604800000000,"deduplicated":true}');
DELETE FROM `recorded_worker`;
INSERT INTO `recorded_worker` (`worker`, `channel`, `expires_at`, `lease_length`, `knows`, `running`, `version`) VALUES ('01b8dac5-b400-7000-ba22-08d1278d9518', 'accounts', 1894147210000000, 10000000, '["recorded.closed","recorded.moved","recorded.opened","timer reminder"]', NULL, '0.1.0');
INSERT INTO `recorded_worker` (`worker`, `channel`, `expires_at`, `lease_length`, `knows`, `running`, `version`) VALUES ('01b8dac5-b400-7000-ba22-08d1278d9518', 'charging', 1894147210000000, 10000000, '["recorded.charged"]', NULL, '0.1.0');
INSERT INTO `recorded_worker` (`worker`, `channel`, `expires_at`, `lease_length`, `knows`, `running`, `version`) VALUES ('01b8dac5-b400-7000-ba22-08d1278d9518', 'fragile', 1894147210000000, 10000000, '["recorded.broken"]', NULL, '0.1.0');
INSERT INTO `recorded_worker` (`worker`, `channel`, `expires_at`, `lease_length`, `knows`, `running`, `version`) VALUES ('01b8dac5-b400-7000-ba22-08d1278d9518', 'journal', 1894147210000000, 10000000, '["recorded.done"]', NULL, '0.1.0');
INSERT INTO `recorded_worker` (`worker`, `channel`, `expires_at`, `lease_length`, `knows`, `running`, `version`) VALUES ('01b8dac5-b400-7000-ba22-08d1278d9518', 'notes', 1894147210000000, 10000000, '["recorded.noted"]', NULL, '0.1.0');
INSERT INTO `recorded_worker` (`worker`, `channel`, `expires_at`, `lease_length`, `knows`, `running`, `version`) VALUES ('01b8dac5-b400-7000-ba22-08d1278d9518', 'parking', 1894147210000000, 10000000, '["recorded.parked"]', NULL, '0.1.0');
INSERT INTO `recorded_worker` (`worker`, `channel`, `expires_at`, `lease_length`, `knows`, `running`, `version`) VALUES ('01b8dac5-b400-7000-ba22-08d1278d9518', 'stubborn', 1894147210000000, 10000000, '["recorded.tried"]', NULL, '0.1.0');
DELETE FROM `recorded_lane`;
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 0, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 1, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 10, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 11, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 12, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 13, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 14, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 15, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 2, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 3, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 4, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 5, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 6, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 7, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 8, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('accounts', 9, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 0, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 1, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 10, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 11, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 12, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 13, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 14, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 15, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 2, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 3, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 4, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 5, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 6, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 7, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 8, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('charging', 9, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 0, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 1, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 10, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 11, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 12, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 13, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 14, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 15, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 2, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 3, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 4, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 5, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 6, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 7, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 8, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('fragile', 9, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 0, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 1, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 10, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 11, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 12, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 13, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 14, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 15, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 2, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 3, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 4, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 5, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 6, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 7, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 8, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('journal', 9, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 0, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 1, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 10, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 11, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 12, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 13, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 14, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 15, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 2, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 3, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 4, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 5, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 6, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 7, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 8, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('notes', 9, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 0, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 1, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 10, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 11, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 12, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 13, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 14, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 15, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 2, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 3, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 4, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 5, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 6, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 7, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 8, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('parking', 9, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 0, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 1, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 10, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 11, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 12, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 13, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 14, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 15, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 2, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 3, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 4, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 5, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 6, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 7, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 8, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
INSERT INTO `recorded_lane` (`channel`, `lane`, `owner`, `epoch`, `expires_at`, `lease_length`, `held_window`, `suspect_until`, `loud`, `suspect_keys`) VALUES ('stubborn', 9, '01b8dac5-b400-7000-ba22-08d1278d9518', 1, 1894147210000000, 10000000, 250, 0, NULL, NULL);
DELETE FROM `recorded_held_key`;
INSERT INTO `recorded_held_key` (`channel`, `partition_key`, `position`) VALUES ('parking', 'P', 0);
INSERT INTO `recorded_held_key` (`channel`, `partition_key`, `position`) VALUES ('stubborn', 'S', 12);
DELETE FROM `recorded_dead_letter`;
INSERT INTO `recorded_dead_letter` (`id`, `channel`, `message_id`, `fingerprint`, `status`, `envelope`, `body`, `reason`, `error_type`, `error_text`, `traceback`, `attempts`, `first_failed_at`, `last_failed_at`, `closed_at`, `parked`, `cause`) VALUES (1, 'accounts', 'late', '7c46892df33a3fb26c9972cc78444717', 'open', '["accounts",6,"late","recorded.opened","ancient",null,null,null,1893456000000000,0,null,null,0,0]', '{"account":"ancient"}', 'too old: stamped before the de-duplication horizon', NULL, NULL, NULL, 0, 1894147200000000, 1894147200000000, NULL, 0, 'too old');
INSERT INTO `recorded_dead_letter` (`id`, `channel`, `message_id`, `fingerprint`, `status`, `envelope`, `body`, `reason`, `error_type`, `error_text`, `traceback`, `attempts`, `first_failed_at`, `last_failed_at`, `closed_at`, `parked`, `cause`) VALUES (2, 'parking', '01b903f8-9400-7006-b153-93ff95c01c34', '0bd083bb29049d458ec9e0b70a9df836', 'open', '["parking",9,"01b903f8-9400-7006-b153-93ff95c01c34","recorded.parked","P",null,null,null,1894147200000000,0,null,null,0,0]', '{"key":"P","number":1}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
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
INSERT INTO `recorded_dead_letter` (`id`, `channel`, `message_id`, `fingerprint`, `status`, `envelope`, `body`, `reason`, `error_type`, `error_text`, `traceback`, `attempts`, `first_failed_at`, `last_failed_at`, `closed_at`, `parked`, `cause`) VALUES (3, 'fragile', '01b903f8-9400-7009-a712-0eb6b5c7dd14', '17f21210ae57a2d1e6d4ef2d01ae0833', 'discarded', '["fragile",13,"01b903f8-9400-7009-a712-0eb6b5c7dd14","recorded.broken",null,null,null,null,1894147200000000,0,null,null,0,0]', '{"number":1}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
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
INSERT INTO `recorded_dead_letter` (`id`, `channel`, `message_id`, `fingerprint`, `status`, `envelope`, `body`, `reason`, `error_type`, `error_text`, `traceback`, `attempts`, `first_failed_at`, `last_failed_at`, `closed_at`, `parked`, `cause`) VALUES (4, 'fragile', '01b903f8-9400-700a-b4c7-89655182d7d5', 'c4141698045174b1c600af932d603dc3', 'replayed', '["fragile",14,"01b903f8-9400-700a-b4c7-89655182d7d5","recorded.broken",null,null,null,null,1894147200000000,0,null,null,0,0]', '{"number":2}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
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
INSERT INTO `recorded_dead_letter` (`id`, `channel`, `message_id`, `fingerprint`, `status`, `envelope`, `body`, `reason`, `error_type`, `error_text`, `traceback`, `attempts`, `first_failed_at`, `last_failed_at`, `closed_at`, `parked`, `cause`) VALUES (5, 'fragile', '01b903f8-9400-700b-ae0e-09d31839b381', '5bd54836dc1f58d5e57ffc898cedd9de', 'open', '["fragile",6,"01b903f8-9400-700b-ae0e-09d31839b381","recorded.broken",null,null,null,null,1894147200000000,0,null,null,0,0]', '{"number":3}', 'failed 1 times, last: ValueError: not yet', 'ValueError', 'not yet', 'Traceback (most recent call last):
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
DELETE FROM `recorded_journal`;
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (10, '01b903f8-9400-7006-b153-93ff95c01c34', 1894147200000000, 'parking', '01b903f8-9400-7006-b153-93ff95c01c34', 'recorded.parked', 'P', NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (11, 'charged-1', 1894147200000000, 'charging', 'charged-1', 'recorded.charged', 'O1', NULL, NULL, 1894147200000000, 1, 'completed', NULL, NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (12, 'charged-1', 1894147200000000, 'journal', '6f9427ac39b3c97370de99cbc0f38b14', 'recorded.done', 'charging', NULL, 'charged-1', 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (13, 'charged-2', 1894147200000000, 'charging', 'charged-2', 'recorded.charged', 'O1', NULL, NULL, 1894147200000000, 1, 'discarded', NULL, NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (14, '01b903f8-9400-7009-a712-0eb6b5c7dd14', 1894147200000000, 'fragile', '01b903f8-9400-7009-a712-0eb6b5c7dd14', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (15, '01b903f8-9400-700a-b4c7-89655182d7d5', 1894147200000000, 'fragile', '01b903f8-9400-700a-b4c7-89655182d7d5', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (16, '01b903f8-9400-700b-ae0e-09d31839b381', 1894147200000000, 'fragile', '01b903f8-9400-700b-ae0e-09d31839b381', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'dead-lettered', 'ValueError', NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (17, '01b903f8-9400-700a-b4c7-89655182d7d5', 1894147200000000, 'fragile', '01b903f8-9400-700a-b4c7-89655182d7d5', 'recorded.broken', NULL, NULL, NULL, 1894147200000000, 1, 'completed', NULL, NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (18, '01b903f8-9400-700a-b4c7-89655182d7d5', 1894147200000000, 'journal', 'd407b843be4bbd644cbfeb3d120a0592', 'recorded.done', 'fragile', NULL, '01b903f8-9400-700a-b4c7-89655182d7d5', 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (3, 'opened-A1', 1894147200000000, 'accounts', 'opened-A1', 'recorded.opened', 'A1', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (4, '01b903f8-9400-7000-ac05-b7fd9bbed7aa', 1894147200000000, 'accounts', '01b903f8-9400-7000-ac05-b7fd9bbed7aa', 'recorded.moved', 'A1', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 2, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (5, '01b903f8-9400-7001-8ee6-be811101b7c3', 1894147200000000, 'accounts', '01b903f8-9400-7001-8ee6-be811101b7c3', 'recorded.opened', 'A2', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 1, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (6, '01b903f8-9400-7002-8f32-5befac7c5bcb', 1894147200000000, 'accounts', '01b903f8-9400-7002-8f32-5befac7c5bcb', 'recorded.closed', 'A2', NULL, NULL, 1894147200000000, 1, 'completed', NULL, 2, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (7, '01b903f8-9400-7003-8d03-8801d4e1e7d5', 1894147200000000, 'accounts', '01b903f8-9400-7003-8d03-8801d4e1e7d5', 'recorded.moved', 'A3', NULL, NULL, 1894147200000000, 1, 'stashed', NULL, 0, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (8, '01b903f8-9400-7004-96d0-d3451f1619f2', 1894147200000000, 'accounts', '01b903f8-9400-7004-96d0-d3451f1619f2', 'recorded.moved', 'A3', NULL, NULL, 1894147200000000, 1, 'stashed', NULL, 0, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
INSERT INTO `recorded_journal` (`position`, `correlation_id`, `handled_at`, `subscription`, `message_id`, `message_type`, `key`, `timer`, `causation_id`, `sent_at`, `attempt`, `outcome`, `error`, `version`, `duration`, `worker`) VALUES (9, '01b903f8-9400-7005-ba72-6d8cd01a063b', 1894147200000000, 'stubborn', '01b903f8-9400-7005-ba72-6d8cd01a063b', 'recorded.tried', 'S', NULL, NULL, 1894147200000000, 1, 'retried', 'ValueError', NULL, 0, '01b8dac5-b400-7000-ba22-08d1278d9518');
DELETE FROM `recorded_audit`;
INSERT INTO `recorded_audit` (`id`, `made_at`, `made_by`, `verb`, `channel`, `target`, `reason`, `was`, `became`) VALUES (1, 1894147200000000, 'root', 'dead-letter.discard', 'fragile', '3', 'a test', '{"status":"open","parked":false}', '{"status":"discarded","result":"done"}');
INSERT INTO `recorded_audit` (`id`, `made_at`, `made_by`, `verb`, `channel`, `target`, `reason`, `was`, `became`) VALUES (2, 1894147200000000, 'root', 'dead-letter.replay', 'fragile', '4', 'a test', '{"status":"open","parked":false}', '{"status":"replayed","result":"done"}');
DELETE FROM `recorded_paused`;
DELETE FROM `recorded_schema_version`;
INSERT INTO `recorded_schema_version` (`version`, `checksum`, `applied_at`) VALUES (1, 'f3a0a5165f018d24', 1893456000000000);
INSERT INTO `recorded_schema_version` (`version`, `checksum`, `applied_at`) VALUES (2, 'a7ff2ffb818bda7e', 1893456000000000);
INSERT INTO `recorded_schema_version` (`version`, `checksum`, `applied_at`) VALUES (3, 'd18e7ee953d2ec6a', 1893456000000000);
INSERT INTO `recorded_schema_version` (`version`, `checksum`, `applied_at`) VALUES (4, '90326253cc9a08a6', 1893456000000000);
INSERT INTO `recorded_schema_version` (`version`, `checksum`, `applied_at`) VALUES (5, 'b27c25bb01bd757e', 1893456000000000);
INSERT INTO `recorded_schema_version` (`version`, `checksum`, `applied_at`) VALUES (6, '85458b7ffc0ee1ce', 1893456000000000);
INSERT INTO `recorded_schema_version` (`version`, `checksum`, `applied_at`) VALUES (7, '5afb950ecab4cd24', 1893456000000000);
