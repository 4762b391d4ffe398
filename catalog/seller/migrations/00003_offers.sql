-- +goose Up
-- Sellers that an owner offers to a member.
CREATE TABLE IF NOT EXISTS seller_offers__ (
    seller_id BIGINT      NOT NULL,
    from_user BIGINT      NOT NULL,
    to_user   BIGINT      NOT NULL,
    made_at   DATETIME(3) NOT NULL COMMENT 'UTC',
    ends_at   DATETIME(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (seller_id),
    CONSTRAINT seller_offers___others CHECK (from_user <> to_user)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE seller_offers__;
