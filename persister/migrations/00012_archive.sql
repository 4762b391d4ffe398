-- +goose Up
-- Old rows leave the ledger and the reservations for files. What they came to stays here, per cell: everything up to
-- this event is in files. The event itself is in the ledger too, and so are older ones that somebody still needs: those
-- of open reservations, and those that set the limit per user.
CREATE TABLE IF NOT EXISTS checkpoints (
    sku_id          BIGINT            NOT NULL,
    pool            INT UNSIGNED      NOT NULL,
    bucket          SMALLINT UNSIGNED NOT NULL,
    epoch           INT UNSIGNED      NOT NULL,
    seq             BIGINT UNSIGNED   NOT NULL,
    available_stock BIGINT            NOT NULL,
    reserved_stock  BIGINT            NOT NULL,
    sold_stock      BIGINT            NOT NULL,
    settings        BINARY(20)        NOT NULL COMMENT 'after the event, as in docs/events.md',
    extend_ms       INT UNSIGNED      NOT NULL COMMENT 'of the settings: the bound of extensions',
    redis_ms        BIGINT            NOT NULL COMMENT 'Redis time of the event',
    events          BIGINT UNSIGNED   NOT NULL COMMENT 'of the cell that are in files',
    file_id         BIGINT UNSIGNED   NOT NULL COMMENT 'the file that has the event',
    PRIMARY KEY (sku_id, pool, bucket),
    CONSTRAINT checkpoints_balances CHECK (available_stock >= 0 AND reserved_stock >= 0 AND sold_stock >= 0),
    CONSTRAINT checkpoints_position CHECK (epoch > 0 AND seq > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What users have bought under a limit, as far as the rows of their reservations have left. The limit counts it for ever.
CREATE TABLE IF NOT EXISTS archived_buyers (
    sku_id  BIGINT            NOT NULL,
    pool    INT UNSIGNED      NOT NULL,
    bucket  SMALLINT UNSIGNED NOT NULL,
    user_id BIGINT            NOT NULL,
    units   BIGINT            NOT NULL COMMENT 'sold, less what came back',
    PRIMARY KEY (sku_id, pool, bucket, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Every file of which the rows were deleted.
CREATE TABLE IF NOT EXISTS archive_files (
    file_id      BIGINT UNSIGNED NOT NULL,
    name         VARCHAR(200)    NOT NULL,
    sha256       BINARY(32)      NOT NULL COMMENT 'of the file as it is on disk',
    cells        BIGINT UNSIGNED NOT NULL,
    events       BIGINT UNSIGNED NOT NULL,
    reservations BIGINT UNSIGNED NOT NULL COMMENT 'whose rows left with it',
    cut_ms       BIGINT          NOT NULL COMMENT 'all that is in the file is older',
    made_at      TIMESTAMP(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (file_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE archive_files, archived_buyers, checkpoints;
