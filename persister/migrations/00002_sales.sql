-- +goose Up

-- Time-boxed offers. A sale's id is also its pool. Times are Redis time in ms.
CREATE TABLE IF NOT EXISTS sales (
    sale_id         INT UNSIGNED    NOT NULL,
    name            VARCHAR(200)    NOT NULL,
    opens_at_ms     BIGINT          NOT NULL COMMENT '281474976710655: not scheduled',
    closes_at_ms    BIGINT          NOT NULL COMMENT '0: never closes',
    limit_per_user  INT UNSIGNED    NOT NULL COMMENT '0: no limit',
    hold_ms         BIGINT          NOT NULL,
    acknowledge     ENUM ('default', 'redis', 'replica', 'log') NOT NULL,
    shopper_deducts BOOLEAN         NOT NULL,
    windows         INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'how often the window was changed; names the change',
    created_at      TIMESTAMP(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (sale_id),
    CONSTRAINT sales_id CHECK (sale_id > 0),
    CONSTRAINT sales_window CHECK (opens_at_ms >= 0 AND closes_at_ms >= 0
        AND (closes_at_ms = 0 OR closes_at_ms > opens_at_ms)),
    CONSTRAINT sales_hold CHECK (hold_ms BETWEEN 1 AND 2592000000)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- The stock that a sale is to be given, and how far that has come. A transfer is written down before it
-- starts, so that whoever resumes it moves the same units under the same id.
CREATE TABLE IF NOT EXISTS sale_items (
    sale_id         INT UNSIGNED NOT NULL,
    sku_id          BIGINT       NOT NULL,
    quantity        BIGINT       NOT NULL COMMENT 'units it is to be given',
    moved_units     BIGINT       NOT NULL DEFAULT 0 COMMENT 'units given, less those returned',
    moves           INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'transfers done; names the next one',
    moving_units    BIGINT       NOT NULL DEFAULT 0 COMMENT 'the transfer under way: to the sale, or negative: back; 0: none',
    moving_since_ms BIGINT       NOT NULL DEFAULT 0 COMMENT 'Redis time at which it started',
    PRIMARY KEY (sale_id, sku_id),
    CONSTRAINT sale_items_sale FOREIGN KEY (sale_id) REFERENCES sales (sale_id),
    CONSTRAINT sale_items_sku CHECK (sku_id > 0),
    CONSTRAINT sale_items_quantity CHECK (quantity > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE sale_items, sales;
