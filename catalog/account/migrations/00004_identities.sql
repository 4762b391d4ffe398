-- +goose Up
-- What belongs to one user at most, where its index is: addresses of e-mail, numbers of phones, accounts at providers. The
-- value itself is not here.
CREATE TABLE IF NOT EXISTS claims__ (
    value_index BINARY(32)  NOT NULL COMMENT 'keyed hash of the value and its kind',
    user_id     BIGINT      NOT NULL,
    claim       BIGINT      NOT NULL COMMENT 'drawn for each claim: its identity has it too',
    final       BOOLEAN     NOT NULL DEFAULT FALSE COMMENT 'FALSE while its identity is being made',
    claimed_at  DATETIME(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (value_index),
    KEY claims___pending (final, claimed_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- How users sign in, and are reached. A row without a kind is a claim that was given up: no identity is made of it.
CREATE TABLE IF NOT EXISTS identities__ (
    user_id     BIGINT          NOT NULL,
    claim       BIGINT          NOT NULL,
    kind        VARCHAR(10)     CHARACTER SET ascii COLLATE ascii_bin NULL,
    provider    VARCHAR(32)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'of an account at one',
    value_index BINARY(32)      NULL,
    value       VARBINARY(1024) NULL COMMENT 'what its user sees of it, encrypted',
    made_at     DATETIME(3)     NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id, claim),
    UNIQUE KEY identities___value (user_id, value_index),
    CONSTRAINT identities___whole CHECK ((kind IS NULL) = (value_index IS NULL) AND (kind IS NULL) = (value IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

SET @step = IF(EXISTS (SELECT * FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'emails__'),
    'INSERT IGNORE INTO claims__ (value_index, user_id, claim, final, claimed_at) SELECT email_index, user_id, 1, final, claimed_at FROM emails__',
    'DO 0');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
DROP TABLE IF EXISTS emails__;

SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'credentials__' AND column_name = 'email'),
    'INSERT IGNORE INTO identities__ (user_id, claim, kind, value_index, value, made_at)
        SELECT user_id, 1, IF(email IS NULL, NULL, ''email''), email_index, email, password_at FROM credentials__',
    'DO 0');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
DELETE FROM credentials__ WHERE password IS NULL;
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'credentials__' AND column_name = 'email'),
    'ALTER TABLE credentials__
        DROP CONSTRAINT credentials___whole, DROP COLUMN email_index, DROP COLUMN email,
        MODIFY password VARCHAR(160) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT ''hash''',
    'DO 0');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- The program alone knows what codes are for.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'challenges__' AND column_name = 'email'),
    'ALTER TABLE challenges__
        DROP CONSTRAINT challenges___purpose,
        RENAME COLUMN email_index TO value_index,
        CHANGE COLUMN email value VARBINARY(1024) NOT NULL COMMENT ''encrypted''',
    'DO 0');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
CREATE TABLE IF NOT EXISTS emails__ (
    email_index BINARY(32)  NOT NULL COMMENT 'keyed hash of the address',
    user_id     BIGINT      NOT NULL,
    final       BOOLEAN     NOT NULL DEFAULT FALSE COMMENT 'FALSE while its user is being made',
    claimed_at  DATETIME(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (email_index),
    KEY emails___pending (final, claimed_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
INSERT IGNORE INTO emails__ (email_index, user_id, final, claimed_at) SELECT value_index, user_id, final, claimed_at FROM claims__;
DROP TABLE claims__;
ALTER TABLE credentials__
    MODIFY password VARCHAR(160) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'hash',
    ADD COLUMN email_index BINARY(32) NULL AFTER user_id, ADD COLUMN email VARBINARY(1024) NULL COMMENT 'encrypted' AFTER email_index;
UPDATE credentials__ c JOIN identities__ i ON i.user_id = c.user_id AND i.kind = 'email' SET c.email_index = i.value_index, c.email = i.value;
UPDATE credentials__ SET password = NULL WHERE email IS NULL;
DROP TABLE identities__;
ALTER TABLE credentials__ ADD CONSTRAINT credentials___whole
    CHECK ((email_index IS NULL) = (email IS NULL) AND (email_index IS NULL) = (password IS NULL));
DELETE FROM challenges__ WHERE purpose NOT IN ('register', 'reset');
ALTER TABLE challenges__
    RENAME COLUMN value_index TO email_index, CHANGE COLUMN value email VARBINARY(1024) NOT NULL COMMENT 'encrypted',
    ADD CONSTRAINT challenges___purpose CHECK (purpose IN ('register', 'reset'));
