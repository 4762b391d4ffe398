CREATE TABLE IF NOT EXISTS OWNER_key_proofs__ (
    key_id INT UNSIGNED   NOT NULL COMMENT 'of a key in the file of the vault that wraps or has wrapped; 0: the one that indexes',
    proof  VARBINARY(128) NOT NULL COMMENT 'what only this key makes',
    PRIMARY KEY (key_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS OWNER_keys__ (
    subject_id BIGINT         NOT NULL COMMENT 'whose key it is',
    key_id     INT UNSIGNED   NULL COMMENT 'the key of the file that wraps it; NULL: it was destroyed',
    wrapped    VARBINARY(128) NULL,
    made_at    DATETIME(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3) COMMENT 'UTC',
    erased_at  DATETIME(3)    NULL COMMENT 'UTC',
    PRIMARY KEY (subject_id),
    KEY OWNER_keys___key (key_id),
    CONSTRAINT OWNER_keys___proof FOREIGN KEY (key_id) REFERENCES OWNER_key_proofs__ (key_id),
    CONSTRAINT OWNER_keys___erased CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
