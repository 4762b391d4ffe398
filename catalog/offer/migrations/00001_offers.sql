-- +goose Up
-- What sales are to shoppers. A sale itself is where the stock is: an edge has it.
CREATE TABLE IF NOT EXISTS offers__ (
    offer_id      BIGINT      NOT NULL COMMENT 'its last 10 bits are the logical shard',
    seller_id     BIGINT      NOT NULL,
    stage         VARCHAR(9)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version       BIGINT      NOT NULL DEFAULT 1,
    content       MEDIUMBLOB  NOT NULL COMMENT 'JSON: texts, SKUs with units and prices, window, rules',
    opens_at      DATETIME(3) NOT NULL COMMENT 'UTC; as content has it',
    closes_at     DATETIME(3) NOT NULL COMMENT 'UTC; as content has it',
    made_at       DATETIME(3) NOT NULL COMMENT 'UTC',
    submitted_at  DATETIME(3) NULL COMMENT 'UTC; while it is in review',
    claimed_by    BIGINT      NULL COMMENT 'the user who reviews it',
    claim_ends_at DATETIME(3) NULL COMMENT 'UTC',
    PRIMARY KEY (offer_id),
    KEY offers___seller (seller_id, offer_id),
    KEY offers___queue (stage, submitted_at, offer_id),
    KEY offers___opens (stage, opens_at, offer_id),
    CONSTRAINT offers___id CHECK (offer_id > 0 AND seller_id > 0),
    CONSTRAINT offers___stage CHECK (stage IN ('draft', 'in_review', 'approved', 'rejected', 'withdrawn',
        'scheduled', 'open', 'paused', 'closed', 'returned', 'reported')),
    CONSTRAINT offers___window CHECK (opens_at < closes_at),
    CONSTRAINT offers___submitted CHECK ((stage = 'in_review') = (submitted_at IS NOT NULL)),
    CONSTRAINT offers___claim CHECK ((claimed_by IS NULL) = (claim_ends_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Each move of an offer: who made it, when and why. Rows are never changed.
CREATE TABLE IF NOT EXISTS offer_moves__ (
    offer_id BIGINT       NOT NULL,
    version  BIGINT       NOT NULL COMMENT 'of the offer, by the move',
    was      VARCHAR(9)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    became   VARCHAR(9)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at       DATETIME(3)  NOT NULL COMMENT 'UTC',
    actor    VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as in the audit log',
    reason   VARCHAR(500) NOT NULL DEFAULT '',
    PRIMARY KEY (offer_id, version)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- What each package of the shop has: events for others, work that follows a commit, times of work, and answers to repeated writes.
CREATE TABLE IF NOT EXISTS offer_outbox__ (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the aggregate, without gaps from 1 on',
    event_id     BIGINT          NOT NULL,
    type         VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at           DATETIME(3)     NOT NULL COMMENT 'UTC',
    data         MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    PRIMARY KEY (id),
    KEY offer_outbox___topic (topic, id, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS offer_versions__ (
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the last event',
    PRIMARY KEY (topic, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS offer_tasks__ (
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
    UNIQUE KEY offer_tasks___name (kind, name),
    KEY offer_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS offer_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS offer_replays__ (
    user_id         BIGINT         NOT NULL,
    route           VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    idempotency_key VARBINARY(128) NOT NULL,
    fingerprint     BINARY(32)     NOT NULL COMMENT 'SHA-256 of the request',
    status          SMALLINT       NULL COMMENT 'of the first answer; nobody sees NULL, because it has not committed',
    headers         VARBINARY(2048) NULL COMMENT 'JSON',
    body            MEDIUMBLOB     NULL,
    ends_at         DATETIME(3)    NOT NULL COMMENT 'UTC; from then on the key is a new one',
    PRIMARY KEY (user_id, route, idempotency_key),
    KEY offer_replays___ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE offer_replays__;
DROP TABLE offer_schedule__;
DROP TABLE offer_tasks__;
DROP TABLE offer_versions__;
DROP TABLE offer_outbox__;
DROP TABLE offer_moves__;
DROP TABLE offers__;
