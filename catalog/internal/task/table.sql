CREATE TABLE IF NOT EXISTS OWNER_tasks__ (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    kind       VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name       VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'of the effect: its Idempotency-Key',
    data       MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    state      ENUM ('waiting', 'dead') NOT NULL DEFAULT 'waiting',
    attempts   INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'that have begun',
    due_at     DATETIME(3)     NOT NULL COMMENT 'UTC; while somebody works at it, the end of the lease',
    claim      BIGINT          NOT NULL DEFAULT 0 COMMENT 'who works at it; 0: nobody',
    last_error VARCHAR(500)    NOT NULL DEFAULT '',
    made_at    DATETIME(3)     NOT NULL COMMENT 'UTC',
    PRIMARY KEY (id),
    UNIQUE KEY OWNER_tasks___name (kind, name),
    KEY OWNER_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
