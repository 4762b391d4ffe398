-- +goose Up
-- Applications that wait for a person, before anybody reviews them.
CREATE TABLE IF NOT EXISTS seller_holds__ (
    seller_id BIGINT NOT NULL,
    PRIMARY KEY (seller_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE seller_holds__;
