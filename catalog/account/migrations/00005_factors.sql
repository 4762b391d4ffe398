-- +goose Up
-- Second factors: what a code of an authenticator app follows from, and which codes were used. Recovery codes follow from their seed
-- and the shop's secret.
CREATE TABLE IF NOT EXISTS factors__ (
    user_id    BIGINT            NOT NULL,
    secret     VARBINARY(255)    NOT NULL COMMENT 'encrypted',
    active     BOOLEAN           NOT NULL DEFAULT FALSE COMMENT 'TRUE once a code has shown that the app has the secret',
    used_step  BIGINT            NOT NULL DEFAULT 0 COMMENT 'the last half minute whose code was used: none counts twice',
    codes      BINARY(16)        NOT NULL COMMENT 'the seed of the recovery codes',
    codes_used SMALLINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'bit n: the recovery code n',
    made_by    BINARY(32)        NOT NULL COMMENT 'keyed hash of the request that made the secret or the codes',
    made_at    DATETIME(3)       NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- When and how the user of a session has proved last who it is. NULL: not since the columns are there.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'sessions__' AND column_name = 'proved_at'),
    'DO 0',
    'ALTER TABLE sessions__
        ADD COLUMN proved_at DATETIME(3) NULL COMMENT ''UTC'',
        ADD COLUMN proved_by VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT ''password, totp or recovery'',
        ADD COLUMN proof BINARY(32) NULL COMMENT ''keyed hash of the request that proved it''');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE sessions__ DROP COLUMN proved_at, DROP COLUMN proved_by, DROP COLUMN proof;
DROP TABLE factors__;
