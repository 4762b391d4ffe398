-- +goose Up
-- The warehouses of sellers. All of a seller are in one place.
CREATE TABLE IF NOT EXISTS warehouses__ (
    warehouse_id BIGINT         NOT NULL,
    seller_id    BIGINT         NOT NULL,
    version      BIGINT         NOT NULL DEFAULT 1,
    state        VARCHAR(6)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name         VARCHAR(100)   NOT NULL,
    country      CHAR(2)        CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    divisions    VARBINARY(400) NOT NULL COMMENT 'JSON',
    priority     SMALLINT       NOT NULL,
    parcel_cost  BIGINT         NOT NULL COMMENT 'minor units',
    source       VARCHAR(40)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'the system that counts it',
    made_at      DATETIME(3)    NOT NULL COMMENT 'UTC',
    PRIMARY KEY (warehouse_id),
    KEY warehouses___seller (seller_id, warehouse_id),
    CONSTRAINT warehouses___id CHECK (warehouse_id > 0 AND seller_id > 0),
    CONSTRAINT warehouses___state CHECK (state IN ('open', 'closed'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- What is kept of a SKU: what its seller wants, and what its cell was given. Whoever changes something of the SKU locks this row first.
CREATE TABLE IF NOT EXISTS stock_skus__ (
    sku_id      BIGINT      NOT NULL,
    seller_id   BIGINT      NOT NULL,
    version     BIGINT      NOT NULL DEFAULT 1 COMMENT 'of what the seller wants',
    safe        BIGINT      NOT NULL DEFAULT 0 COMMENT 'units that should be kept',
    reduces     BOOLEAN     NOT NULL DEFAULT FALSE COMMENT 'whether they are kept from being sold',
    low_at      BIGINT      NULL COMMENT 'so many free units are few; NULL: nobody is told',
    ahead_kind  VARCHAR(9)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'none',
    ahead_units BIGINT      NOT NULL DEFAULT 0 COMMENT 'that may be sold before they are there',
    ahead_on    DATE        NULL COMMENT 'when they are there',
    given       BIGINT      NOT NULL DEFAULT 0 COMMENT 'what the cell has got, of all steps that are done',
    pending     BIGINT      NOT NULL DEFAULT 0 COMMENT 'what the step gives whose outcome nobody knows; 0: there is none',
    pending_key VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'its Idempotency-Key at the edge',
    pending_at  DATETIME(3) NULL COMMENT 'UTC; since when it is pending',
    giver       VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'who asks the edge: nobody else does',
    given_until DATETIME(3) NULL COMMENT 'UTC; until when',
    short       BIGINT      NOT NULL DEFAULT 0 COMMENT 'units that the cell has too many, because they are held or sold',
    low         BOOLEAN     NOT NULL DEFAULT FALSE COMMENT 'whether few units are free',
    PRIMARY KEY (sku_id),
    KEY stock_skus___seller (seller_id, sku_id),
    KEY stock_skus___watched (low_at, sku_id),
    KEY stock_skus___low (low, sku_id),
    KEY stock_skus___short (short),
    CONSTRAINT stock_skus___id CHECK (sku_id > 0 AND seller_id > 0),
    CONSTRAINT stock_skus___wish CHECK (safe >= 0 AND low_at >= 0 AND ahead_units >= 0),
    CONSTRAINT stock_skus___ahead CHECK (ahead_kind IN ('none', 'preorder', 'backorder')),
    CONSTRAINT stock_skus___ahead_on CHECK ((ahead_kind = 'none') = (ahead_on IS NULL) AND (ahead_kind <> 'none' OR ahead_units = 0)),
    CONSTRAINT stock_skus___given CHECK (given >= 0 AND short >= 0),
    CONSTRAINT stock_skus___pending CHECK ((pending = 0) = (pending_at IS NULL))
) ENGINE = InnoDB;

-- The sums of moves.
CREATE TABLE IF NOT EXISTS stock_units__ (
    sku_id       BIGINT      NOT NULL,
    warehouse_id BIGINT      NOT NULL,
    on_hand      BIGINT      NOT NULL DEFAULT 0,
    shipped      BIGINT      NOT NULL DEFAULT 0 COMMENT 'ever, as sold by the shop',
    returned     BIGINT      NOT NULL DEFAULT 0 COMMENT 'ever',
    cut          BIGINT      NOT NULL DEFAULT 0 COMMENT 'the position of the count in force; 0: there is none',
    counted      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'its document',
    PRIMARY KEY (sku_id, warehouse_id)
) ENGINE = InnoDB;

-- The documents of sellers, in the place of their warehouses. The lines are in the places of their SKUs.
CREATE TABLE IF NOT EXISTS stock_documents__ (
    seller_id    BIGINT       NOT NULL,
    source       VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    document_id  VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    fingerprint  BINARY(32)   NOT NULL COMMENT 'SHA-256 of what was sent',
    warehouse_id BIGINT       NOT NULL,
    position     BIGINT       NOT NULL COMMENT 'in the order of the source',
    applied      BOOLEAN      NOT NULL DEFAULT FALSE COMMENT 'whether all of its lines are in their places',
    at           DATETIME(3)  NOT NULL COMMENT 'UTC',
    actor        VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as in the audit log',
    PRIMARY KEY (seller_id, source, document_id),
    CONSTRAINT stock_documents___position CHECK (position > 0)
) ENGINE = InnoDB;

-- What systems and people said of units, by document. Nothing is deleted, and nothing changes but what came late for a count.
CREATE TABLE IF NOT EXISTS stock_moves__ (
    seller_id    BIGINT       NOT NULL,
    source       VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    document_id  VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sku_id       BIGINT       NOT NULL,
    kind         VARCHAR(9)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    warehouse_id BIGINT       NOT NULL,
    position     BIGINT       NOT NULL COMMENT 'in the order of the source',
    quantity     BIGINT       NOT NULL,
    delta        BIGINT       NOT NULL COMMENT 'of what is there; 0 of a count',
    known        BIGINT       NULL COMMENT 'what was known at the position of a count, when it came; NULL: an older one than that in force',
    since        BIGINT       NOT NULL DEFAULT 0 COMMENT 'the position of the count in force before',
    late         BIGINT       NOT NULL DEFAULT 0 COMMENT 'what came later and was in the count already',
    PRIMARY KEY (seller_id, source, document_id, sku_id, kind),
    KEY stock_moves___units (sku_id, warehouse_id, position),
    CONSTRAINT stock_moves___kind CHECK (kind IN ('received', 'shipped', 'returned', 'corrected', 'counted')),
    CONSTRAINT stock_moves___position CHECK (position > 0)
) ENGINE = InnoDB;

-- What each package of the shop has: events for others, work that follows a commit, times of work, and answers to repeated writes.
CREATE TABLE IF NOT EXISTS stock_outbox__ (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the aggregate, without gaps from 1 on',
    event_id     BIGINT          NOT NULL,
    type         VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at           DATETIME(3)     NOT NULL COMMENT 'UTC',
    data         MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    PRIMARY KEY (id),
    KEY stock_outbox___topic (topic, id, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS stock_versions__ (
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the last event',
    PRIMARY KEY (topic, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS stock_tasks__ (
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
    UNIQUE KEY stock_tasks___name (kind, name),
    KEY stock_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS stock_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS stock_replays__ (
    user_id         BIGINT         NOT NULL,
    route           VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    idempotency_key VARBINARY(128) NOT NULL,
    fingerprint     BINARY(32)     NOT NULL COMMENT 'SHA-256 of the request',
    status          SMALLINT       NULL COMMENT 'of the first answer; nobody sees NULL, because it has not committed',
    headers         VARBINARY(2048) NULL COMMENT 'JSON',
    body            MEDIUMBLOB     NULL,
    ends_at         DATETIME(3)    NOT NULL COMMENT 'UTC; from then on the key is a new one',
    PRIMARY KEY (user_id, route, idempotency_key),
    KEY stock_replays___ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE stock_replays__;
DROP TABLE stock_schedule__;
DROP TABLE stock_tasks__;
DROP TABLE stock_versions__;
DROP TABLE stock_outbox__;
DROP TABLE stock_moves__;
DROP TABLE stock_documents__;
DROP TABLE stock_units__;
DROP TABLE stock_skus__;
DROP TABLE warehouses__;
