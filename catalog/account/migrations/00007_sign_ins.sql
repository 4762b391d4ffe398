-- +goose Up
-- What became of sign-ins of who knows the password.
CREATE TABLE IF NOT EXISTS sign_ins__ (
    user_id    BIGINT         NOT NULL,
    id         BIGINT         NOT NULL,
    made_at    DATETIME(3)    NOT NULL COMMENT 'UTC',
    outcome    VARCHAR(20)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    proved_by  VARCHAR(10)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'as of sessions',
    session_id BIGINT         NOT NULL DEFAULT 0 COMMENT '0: none has begun',
    origin     VARBINARY(1024) NOT NULL COMMENT 'the network and the name of the device, encrypted',
    PRIMARY KEY (user_id, id),
    KEY sign_ins___latest (user_id, made_at),
    KEY sign_ins___made (made_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE sign_ins__;
