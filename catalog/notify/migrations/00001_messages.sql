-- +goose Up
-- Messages to people. What is personal about them is encrypted, and only there while they wait.
CREATE TABLE IF NOT EXISTS notify_messages__ (
    message_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    user_id    BIGINT          NOT NULL COMMENT '0: somebody who has no account',
    event      VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'what it tells of',
    template   VARCHAR(40)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    channel    VARCHAR(10)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    state      VARCHAR(10)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'waiting',
    personal   VARBINARY(8192) NULL COMMENT 'recipient, locale and values',
    until_at   DATETIME(3)     NOT NULL COMMENT 'UTC; it is of no use later',
    made_at    DATETIME(3)     NOT NULL COMMENT 'UTC',
    ended_at   DATETIME(3)     NULL COMMENT 'UTC',
    PRIMARY KEY (message_id),
    UNIQUE KEY notify_messages___once (user_id, event, template, channel),
    KEY notify_messages___until (state, until_at),
    CONSTRAINT notify_messages___user CHECK (user_id >= 0),
    CONSTRAINT notify_messages___state CHECK (state IN ('waiting', 'sent', 'refused', 'expired', 'erased')),
    CONSTRAINT notify_messages___personal CHECK ((state = 'waiting') = (personal IS NOT NULL)),
    CONSTRAINT notify_messages___ended CHECK ((state = 'waiting') = (ended_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Messages that were asked for, counted by a keyed hash of what they are counted by.
CREATE TABLE IF NOT EXISTS notify_counts__ (
    value   BINARY(16)   NOT NULL,
    count   INT UNSIGNED NOT NULL,
    ends_at DATETIME(3)  NOT NULL COMMENT 'UTC; then the count begins anew',
    PRIMARY KEY (value),
    KEY notify_counts___ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS notify_tasks__ (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    kind       VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name       VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'of the effect: its Idempotency-Key',
    data       MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    state      ENUM ('waiting', 'dead') NOT NULL DEFAULT 'waiting',
    attempts   INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'that have begun',
    due_at     DATETIME(3)     NOT NULL COMMENT 'UTC; while somebody works at it, the end of the lease',
    claim      BIGINT          NOT NULL DEFAULT 0 COMMENT 'who works at it; 0: nobody',
    last_error VARCHAR(500)    NOT NULL DEFAULT '',
    made_at    DATETIME(3)     NOT NULL COMMENT 'UTC',
    PRIMARY KEY (id),
    UNIQUE KEY notify_tasks___name (kind, name),
    KEY notify_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS notify_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE notify_schedule__;
DROP TABLE notify_tasks__;
DROP TABLE notify_counts__;
DROP TABLE notify_messages__;
