-- +goose Up
-- Under which Idempotency-Keys sales were opened and closed: whose, however late it is repeated, is done.
CREATE TABLE IF NOT EXISTS sale_keys (
    sale_id         INT UNSIGNED           NOT NULL,
    operation       ENUM ('open', 'close') NOT NULL,
    user_id         BIGINT                 NOT NULL,
    idempotency_key VARBINARY(128)         NOT NULL,
    fingerprint     INT UNSIGNED           NOT NULL COMMENT 'of what was asked for: the same key with another one is a mismatch',
    created_at      TIMESTAMP(3)           NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (sale_id, operation, user_id, idempotency_key),
    CONSTRAINT sale_keys_sale FOREIGN KEY (sale_id) REFERENCES sales (sale_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE sale_keys;
