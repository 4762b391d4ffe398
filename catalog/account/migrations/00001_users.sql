-- +goose Up
-- Users of the shop. What is personal about them is not here.
CREATE TABLE IF NOT EXISTS users__ (
    user_id    BIGINT      NOT NULL,
    state      VARCHAR(10) NOT NULL,
    region     VARCHAR(16) NOT NULL COMMENT 'where the data of the user are at home; it never changes',
    locale     VARCHAR(5)  NOT NULL,
    created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (user_id),
    CONSTRAINT users___id CHECK (user_id > 0),
    CONSTRAINT users___state CHECK (state IN ('active', 'locked', 'erased'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE users__;
