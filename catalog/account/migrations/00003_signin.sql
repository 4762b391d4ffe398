-- +goose Up
-- Addresses that belong to somebody, where their indexes are. No address is here.
CREATE TABLE IF NOT EXISTS emails__ (
    email_index BINARY(32)  NOT NULL COMMENT 'keyed hash of the address',
    user_id     BIGINT      NOT NULL,
    final       BOOLEAN     NOT NULL DEFAULT FALSE COMMENT 'FALSE while its user is being made',
    claimed_at  DATETIME(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (email_index),
    KEY emails___pending (final, claimed_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- How users sign in. A row without an index is a registration that was given up: it is never finished.
CREATE TABLE IF NOT EXISTS credentials__ (
    user_id     BIGINT         NOT NULL,
    email_index BINARY(32)     NULL,
    email       VARBINARY(512) NULL COMMENT 'encrypted',
    password    VARCHAR(160)   CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'hash',
    password_at DATETIME(3)    NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id),
    CONSTRAINT credentials___whole CHECK ((email_index IS NULL) = (email IS NULL) AND (email_index IS NULL) = (password IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Codes that were sent, and what they are for. A code follows from the seed and the shop's secret.
CREATE TABLE IF NOT EXISTS challenges__ (
    user_id     BIGINT           NOT NULL COMMENT 'of the user, of who becomes one, or of nobody',
    nonce       BIGINT           NOT NULL,
    purpose     VARCHAR(10)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    decoy       BOOLEAN          NOT NULL COMMENT 'no code fits',
    seed        BINARY(16)       NOT NULL,
    email_index BINARY(32)       NOT NULL,
    email       VARBINARY(512)   NOT NULL COMMENT 'encrypted',
    password    VARCHAR(160)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'hash, of who registers',
    region      VARCHAR(16)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    locale      VARCHAR(5)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    tries       TINYINT UNSIGNED NOT NULL DEFAULT 0,
    used_by     BINARY(32)       NULL COMMENT 'keyed hash of the Idempotency-Key',
    ends_at     DATETIME(3)      NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id, nonce),
    KEY challenges___ends (ends_at),
    CONSTRAINT challenges___purpose CHECK (purpose IN ('register', 'reset'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Sessions of users. A refresh token follows from the seed, the generation and the shop's secret.
CREATE TABLE IF NOT EXISTS sessions__ (
    user_id    BIGINT       NOT NULL,
    session_id BIGINT       NOT NULL,
    seed       BINARY(16)   NOT NULL,
    generation INT UNSIGNED NOT NULL DEFAULT 1,
    created_at DATETIME(3)  NOT NULL COMMENT 'UTC',
    rotated_at DATETIME(3)  NOT NULL COMMENT 'UTC; when the generation began',
    ends_at    DATETIME(3)  NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id, session_id),
    KEY sessions___ends (ends_at),
    CONSTRAINT sessions___id CHECK (session_id > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE sessions__;
DROP TABLE challenges__;
DROP TABLE credentials__;
DROP TABLE emails__;
