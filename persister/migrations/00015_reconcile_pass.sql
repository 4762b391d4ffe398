-- +goose Up
-- How far the pass through the older rows of the ledger has come, so that another persister goes on where one ended. No row:
-- no pass is under way.
CREATE TABLE IF NOT EXISTS reconcile_pass (
    one      TINYINT UNSIGNED  NOT NULL,
    begun_at TIMESTAMP(3)      NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    sku_id   BIGINT            NOT NULL COMMENT 'the last cell that was compared; 0: none was',
    pool     INT UNSIGNED      NOT NULL,
    bucket   SMALLINT UNSIGNED NOT NULL,
    so_far   VARCHAR(4000)     NOT NULL COMMENT 'JSON: what the pass came to by then',
    PRIMARY KEY (one),
    CONSTRAINT reconcile_pass_one CHECK (one = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE reconcile_pass;
