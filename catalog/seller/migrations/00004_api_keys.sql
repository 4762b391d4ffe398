-- +goose Up
-- Keys by which systems of sellers call the shop. Their holder is the seller.
CREATE TABLE IF NOT EXISTS seller_api_keys__ (
    prefix       CHAR(12)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'the part of a key that finds it',
    hash         BINARY(32)   NOT NULL COMMENT 'SHA-256 of the whole key, which nobody keeps',
    holder       BIGINT       NOT NULL COMMENT 'whose systems have it',
    name         VARCHAR(100) NOT NULL COMMENT 'for people',
    scopes       VARCHAR(500) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'words with a blank between them',
    made_at      DATETIME(3)  NOT NULL COMMENT 'UTC',
    ends_at      DATETIME(3)  NOT NULL COMMENT 'UTC',
    last_used_at DATETIME(3)  NULL COMMENT 'UTC, to a few minutes',
    revoked_at   DATETIME(3)  NULL COMMENT 'UTC',
    PRIMARY KEY (prefix),
    KEY seller_api_keys___holder (holder, made_at),
    CONSTRAINT seller_api_keys___holder_id CHECK (holder > 0),
    CONSTRAINT seller_api_keys___life CHECK (ends_at > made_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE seller_api_keys__;
