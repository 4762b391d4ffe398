-- +goose Up
-- What is personal is sealed by catalog/internal/vault: it is ciphertext, under a key of its user.
CREATE TABLE IF NOT EXISTS account_key_proofs__ (
    key_id INT UNSIGNED   NOT NULL COMMENT 'of a key in the file of the vault that wraps or has wrapped; 0: the one that indexes',
    proof  VARBINARY(128) NOT NULL COMMENT 'what only this key makes',
    PRIMARY KEY (key_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS account_keys__ (
    subject_id BIGINT         NOT NULL COMMENT 'whose key it is',
    key_id     INT UNSIGNED   NULL COMMENT 'the key of the file that wraps it; NULL: it was destroyed',
    wrapped    VARBINARY(128) NULL,
    made_at    DATETIME(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3) COMMENT 'UTC',
    erased_at  DATETIME(3)    NULL COMMENT 'UTC',
    PRIMARY KEY (subject_id),
    KEY account_keys___key (key_id),
    CONSTRAINT account_keys___proof FOREIGN KEY (key_id) REFERENCES account_key_proofs__ (key_id),
    CONSTRAINT account_keys___erased CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS profiles__ (
    user_id BIGINT          NOT NULL,
    version BIGINT          NOT NULL COMMENT '1, which has no row, and how often it was written',
    sealed  VARBINARY(4096) NOT NULL COMMENT 'JSON',
    PRIMARY KEY (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS addresses__ (
    user_id    BIGINT          NOT NULL,
    address_id BIGINT          NOT NULL,
    version    BIGINT          NOT NULL COMMENT 'how often it was written',
    is_default BOOLEAN         NULL COMMENT 'TRUE, of one at most, or NULL',
    sealed     VARBINARY(8192) NOT NULL COMMENT 'JSON',
    PRIMARY KEY (user_id, address_id),
    UNIQUE KEY addresses___default (user_id, is_default),
    CONSTRAINT addresses___id CHECK (address_id > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS consents__ (
    user_id      BIGINT      NOT NULL,
    n            INT         NOT NULL COMMENT 'of the user, from 1 on',
    purpose      VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    given        BOOLEAN     NOT NULL COMMENT 'or withdrawn',
    text_version VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'of the text that the user saw',
    actor_id     BIGINT      NOT NULL COMMENT 'who did it',
    actor_role   VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at           DATETIME(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id, n),
    KEY consents___purpose (user_id, purpose, n)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Who is erased leaves no code that was asked for an address or a number, whoever did.
SET @step = IF(EXISTS (SELECT * FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'challenges__' AND index_name = 'challenges___value'),
    'DO 0',
    'ALTER TABLE challenges__ ADD KEY challenges___value (value_index)');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE challenges__ DROP KEY challenges___value;
DROP TABLE consents__;
DROP TABLE addresses__;
DROP TABLE profiles__;
DROP TABLE account_keys__;
DROP TABLE account_key_proofs__;
