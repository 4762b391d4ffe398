-- +goose Up
-- Sellers, and what they applied with. What is personal is sealed.
CREATE TABLE IF NOT EXISTS sellers__ (
    seller_id     BIGINT       NOT NULL,
    state         VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version       BIGINT       NOT NULL DEFAULT 1,
    applicant     BIGINT       NOT NULL COMMENT 'the user who applied',
    application   BLOB         NOT NULL COMMENT 'JSON, encrypted',
    applied_at    DATETIME(3)  NOT NULL COMMENT 'UTC',
    claimed_by    BIGINT       NULL COMMENT 'the user who reviews it',
    claim_ends_at DATETIME(3)  NULL COMMENT 'UTC',
    PRIMARY KEY (seller_id),
    KEY sellers___queue (state, applied_at, seller_id),
    KEY sellers___applicant (applicant, state),
    CONSTRAINT sellers___id CHECK (seller_id > 0),
    CONSTRAINT sellers___state CHECK (state IN ('applied', 'in_review', 'rejected', 'open', 'suspended', 'closing', 'closed')),
    CONSTRAINT sellers___claim CHECK ((claimed_by IS NULL) = (claim_ends_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Each move of a seller: who, when, why. Rows are never changed.
CREATE TABLE IF NOT EXISTS seller_history__ (
    seller_id  BIGINT       NOT NULL,
    version    BIGINT       NOT NULL COMMENT 'of the seller, by the move',
    from_state VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NULL,
    to_state   VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at         DATETIME(3)  NOT NULL COMMENT 'UTC',
    actor      VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as in the audit log',
    reason     VARCHAR(500) NOT NULL,
    PRIMARY KEY (seller_id, version)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who has approved an application. Two people have to.
CREATE TABLE IF NOT EXISTS seller_approvals__ (
    seller_id BIGINT       NOT NULL,
    user_id   BIGINT       NOT NULL,
    reason    VARCHAR(500) NOT NULL,
    at        DATETIME(3)  NOT NULL COMMENT 'UTC',
    PRIMARY KEY (seller_id, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The people of sellers.
CREATE TABLE IF NOT EXISTS seller_members__ (
    seller_id BIGINT      NOT NULL,
    user_id   BIGINT      NOT NULL,
    role      VARCHAR(6)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    since     DATETIME(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (seller_id, user_id),
    KEY seller_members___user (user_id, seller_id),
    CONSTRAINT seller_members___role CHECK (role IN ('owner', 'member'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What each package of the shop has: events for others, work that follows a commit, times of work, and answers to repeated writes.
CREATE TABLE IF NOT EXISTS seller_outbox__ (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the aggregate, without gaps from 1 on',
    event_id     BIGINT          NOT NULL,
    type         VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at           DATETIME(3)     NOT NULL COMMENT 'UTC',
    data         MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    PRIMARY KEY (id),
    KEY seller_outbox___topic (topic, id, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS seller_versions__ (
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the last event',
    PRIMARY KEY (topic, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS seller_tasks__ (
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
    UNIQUE KEY seller_tasks___name (kind, name),
    KEY seller_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS seller_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS seller_replays__ (
    user_id         BIGINT         NOT NULL,
    route           VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    idempotency_key VARBINARY(128) NOT NULL,
    fingerprint     BINARY(32)     NOT NULL COMMENT 'SHA-256 of the request',
    status          SMALLINT       NULL COMMENT 'of the first answer; nobody sees NULL, because it has not committed',
    headers         VARBINARY(2048) NULL COMMENT 'JSON',
    body            MEDIUMBLOB     NULL,
    ends_at         DATETIME(3)    NOT NULL COMMENT 'UTC; from then on the key is a new one',
    PRIMARY KEY (user_id, route, idempotency_key),
    KEY seller_replays___ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE seller_replays__;
DROP TABLE seller_schedule__;
DROP TABLE seller_tasks__;
DROP TABLE seller_versions__;
DROP TABLE seller_outbox__;
DROP TABLE seller_members__;
DROP TABLE seller_approvals__;
DROP TABLE seller_history__;
DROP TABLE sellers__;
