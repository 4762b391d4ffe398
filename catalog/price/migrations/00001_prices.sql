-- +goose Up
-- The prices of a SKU in a market: all ranges of time that count, and those of the past that a reduction is compared with.
CREATE TABLE IF NOT EXISTS prices__ (
    sku_id    BIGINT      NOT NULL,
    market    VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seller_id BIGINT      NOT NULL,
    version   BIGINT      NOT NULL COMMENT '1 is that of a SKU that never had a price',
    ranges    MEDIUMBLOB  NOT NULL COMMENT 'JSON',
    told_at   DATETIME(3) NOT NULL COMMENT 'UTC; until then others know what begins and ends',
    PRIMARY KEY (sku_id, market),
    CONSTRAINT prices___id CHECK (sku_id > 0 AND seller_id > 0),
    CONSTRAINT prices___version CHECK (version > 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Each version of these prices: who changed them, when, and what they became. Rows are never changed.
CREATE TABLE IF NOT EXISTS price_changes__ (
    sku_id  BIGINT       NOT NULL,
    market  VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version BIGINT       NOT NULL COMMENT 'by the change',
    became  MEDIUMBLOB   NOT NULL COMMENT 'JSON',
    at      DATETIME(3)  NOT NULL COMMENT 'UTC',
    actor   VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as in the audit log',
    PRIMARY KEY (sku_id, market, version)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What each package of the shop has: events for others, work that follows a commit, times of work, and answers to repeated writes.
CREATE TABLE IF NOT EXISTS price_outbox__ (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the aggregate, without gaps from 1 on',
    event_id     BIGINT          NOT NULL,
    type         VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at           DATETIME(3)     NOT NULL COMMENT 'UTC',
    data         MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    PRIMARY KEY (id),
    KEY price_outbox___topic (topic, id, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS price_versions__ (
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the last event',
    PRIMARY KEY (topic, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS price_tasks__ (
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
    UNIQUE KEY price_tasks___name (kind, name),
    KEY price_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS price_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS price_replays__ (
    user_id         BIGINT         NOT NULL,
    route           VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    idempotency_key VARBINARY(128) NOT NULL,
    fingerprint     BINARY(32)     NOT NULL COMMENT 'SHA-256 of the request',
    status          SMALLINT       NULL COMMENT 'of the first answer; nobody sees NULL, because it has not committed',
    headers         VARBINARY(2048) NULL COMMENT 'JSON',
    body            MEDIUMBLOB     NULL,
    ends_at         DATETIME(3)    NOT NULL COMMENT 'UTC; from then on the key is a new one',
    PRIMARY KEY (user_id, route, idempotency_key),
    KEY price_replays___ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE price_replays__;
DROP TABLE price_schedule__;
DROP TABLE price_tasks__;
DROP TABLE price_versions__;
DROP TABLE price_outbox__;
DROP TABLE price_changes__;
DROP TABLE prices__;
