-- +goose Up
-- The nonce of the last vetting of each partition's data in Redis. Redis keeps the same one beside the data, so
-- data that were lost, exchanged or set back are told from those that were vetted.
CREATE TABLE IF NOT EXISTS redis_vettings (
    partition_id INT UNSIGNED    NOT NULL,
    nonce        BIGINT UNSIGNED NOT NULL,
    vetted_at    TIMESTAMP(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (partition_id),
    CONSTRAINT redis_vettings_nonce CHECK (nonce > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE redis_vettings;
