-- +goose Up

-- DDL commits by itself: what was killed in the middle of a step begins the step again. So each statement may
-- find its work done.

-- Every event, once. Nothing is ever updated here. Balances are the cell's after the event. The
-- CHECKs have the ranges of the bytes in docs/events.md.
CREATE TABLE IF NOT EXISTS ledger (
    sku_id          BIGINT            NOT NULL,
    pool            INT UNSIGNED      NOT NULL COMMENT '0: normal stock, else the sale',
    bucket          SMALLINT UNSIGNED NOT NULL,
    epoch           INT UNSIGNED      NOT NULL,
    seq             BIGINT UNSIGNED   NOT NULL COMMENT 'without gaps within an epoch of a cell',
    kind            ENUM ('reserve', 'confirm', 'release', 'expire', 'deduct', 'adjust', 'transfer_out', 'transfer_in') NOT NULL,
    reservation_id  BINARY(16)        NOT NULL,
    user_id         BIGINT            NOT NULL,
    quantity        INT UNSIGNED      NOT NULL COMMENT '0 for adjustments, see delta',
    fingerprint     INT UNSIGNED      NOT NULL,
    available_stock BIGINT            NOT NULL,
    reserved_stock  BIGINT            NOT NULL,
    sold_stock      BIGINT            NOT NULL,
    deadline_ms     BIGINT            NOT NULL COMMENT 'Redis time; 0 if it never was held',
    redis_ms        BIGINT            NOT NULL COMMENT 'Redis time of the event',
    delta           BIGINT            NULL COMMENT 'adjustments only, like what follows',
    fields          TINYINT UNSIGNED  NULL COMMENT 'the settings that were set, one bit each',
    settings        BINARY(20)        NULL COMMENT 'all settings after the event, as in docs/events.md',
    reason          VARBINARY(200)    NULL COMMENT 'UTF-8',
    PRIMARY KEY (sku_id, pool, bucket, epoch, seq),
    CONSTRAINT ledger_balances CHECK (available_stock >= 0 AND reserved_stock >= 0 AND sold_stock >= 0
        AND available_stock + reserved_stock + sold_stock <= 1099511627775),
    CONSTRAINT ledger_amount CHECK ((quantity > 0) = (delta IS NULL) AND quantity <= 16777215),
    CONSTRAINT ledger_key CHECK (sku_id > 0 AND epoch > 0 AND seq BETWEEN 1 AND 281474976710655),
    CONSTRAINT ledger_user CHECK (user_id >= 0),
    CONSTRAINT ledger_times CHECK (deadline_ms BETWEEN 0 AND 281474976710655 AND redis_ms BETWEEN 0 AND 281474976710655)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- The shop's stock per SKU, pool and bucket: the balances of the highest (epoch, seq) that arrived.
-- safe_stock and warehouse_id are the shop's own; sluice never writes them.
CREATE TABLE IF NOT EXISTS product_inventories (
    sku_id          BIGINT            NOT NULL,
    pool            INT UNSIGNED      NOT NULL DEFAULT 0,
    bucket          SMALLINT UNSIGNED NOT NULL DEFAULT 0,
    total_stock     BIGINT            NOT NULL,
    available_stock BIGINT            NOT NULL,
    reserved_stock  BIGINT            NOT NULL,
    sold_stock      BIGINT            NOT NULL,
    safe_stock      BIGINT            NOT NULL DEFAULT 0,
    warehouse_id    BIGINT            NOT NULL DEFAULT 0,
    epoch           INT UNSIGNED      NOT NULL,
    seq             BIGINT UNSIGNED   NOT NULL,
    last_updated    DATETIME(3)       NOT NULL COMMENT 'Redis time of that event, UTC',
    PRIMARY KEY (sku_id, pool, bucket),
    CONSTRAINT product_inventories_balances CHECK (available_stock >= 0 AND reserved_stock >= 0 AND sold_stock >= 0),
    CONSTRAINT product_inventories_total CHECK (total_stock = available_stock + reserved_stock + sold_stock),
    CONSTRAINT product_inventories_safe CHECK (safe_stock >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Every reservation and deduction in the state of its highest (epoch, seq) that arrived.
CREATE TABLE IF NOT EXISTS reservations (
    reservation_id BINARY(16)        NOT NULL,
    sku_id         BIGINT            NOT NULL,
    pool           INT UNSIGNED      NOT NULL,
    bucket         SMALLINT UNSIGNED NOT NULL,
    user_id        BIGINT            NOT NULL,
    quantity       INT UNSIGNED      NOT NULL,
    state          ENUM ('held', 'confirmed', 'released', 'expired') NOT NULL,
    deadline_ms    BIGINT            NOT NULL COMMENT 'Redis time; 0 if it never was held',
    epoch          INT UNSIGNED      NOT NULL,
    seq            BIGINT UNSIGNED   NOT NULL,
    updated_ms     BIGINT            NOT NULL COMMENT 'Redis time of that event',
    PRIMARY KEY (reservation_id),
    CONSTRAINT reservations_quantity CHECK (quantity > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Up to where a cell's events are in the ledger without a gap, each following from the one before.
-- It moves lazily, some seconds behind, and stops at a dead letter of its cell until that is resolved.
CREATE TABLE IF NOT EXISTS applied_marks (
    sku_id BIGINT            NOT NULL,
    pool   INT UNSIGNED      NOT NULL,
    bucket SMALLINT UNSIGNED NOT NULL,
    epoch  INT UNSIGNED      NOT NULL,
    seq    BIGINT UNSIGNED   NOT NULL,
    PRIMARY KEY (sku_id, pool, bucket)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What could not be applied, once each, as it arrived.
CREATE TABLE IF NOT EXISTS dead_letters (
    letter_id       BINARY(32)        NOT NULL COMMENT 'SHA-256 of reason and data',
    reason          VARCHAR(32)       NOT NULL,
    detail          VARCHAR(1000)     NOT NULL,
    sku_id          BIGINT            NULL COMMENT 'the event it is about; NULL: a whole message',
    pool            INT UNSIGNED      NULL,
    bucket          SMALLINT UNSIGNED NULL,
    epoch           INT UNSIGNED      NULL,
    seq             BIGINT UNSIGNED   NULL,
    kafka_partition INT               NULL COMMENT 'where it was seen first; NULL: not read from Kafka',
    kafka_offset    BIGINT            NULL,
    entry_id        VARBINARY(64)     NULL COMMENT 'the outbox entry that the message was',
    data            LONGBLOB          NOT NULL COMMENT 'a message, a message of the one event, or what the ledger has',
    created_at      TIMESTAMP(3)      NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    resolved_at     TIMESTAMP(3)      NULL,
    PRIMARY KEY (letter_id),
    KEY dead_letters_cell (sku_id, pool, bucket)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE dead_letters, applied_marks, reservations, product_inventories, ledger;
