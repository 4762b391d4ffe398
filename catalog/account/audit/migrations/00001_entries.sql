-- +goose Up
-- Privileged acts, in chains: one for each logical shard. Rows are never changed and never deleted: the shop's account may not.
CREATE TABLE IF NOT EXISTS audit_entries__ (
    chain   INT UNSIGNED    NOT NULL COMMENT 'the logical shard: its kind, month and number',
    n       BIGINT UNSIGNED NOT NULL COMMENT 'from 1 on, without gaps within a chain',
    at      DATETIME(3)     NOT NULL COMMENT 'UTC',
    actor   VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'who: admin:1, service:7, operator',
    act     VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'what: user.make, stock.adjust',
    object  VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'on what: user:42, sku:1001',
    origin  VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'from where: an address and a request',
    why     VARCHAR(500)    NOT NULL,
    changes MEDIUMBLOB      NOT NULL COMMENT 'JSON: what was before and after; personal values are sealed',
    ref     VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'of the act elsewhere: it is here once',
    hash    BINARY(32)      NOT NULL COMMENT 'SHA-256 of the row and of the hash before it',
    PRIMARY KEY (chain, n),
    UNIQUE KEY audit_entries___ref (ref),
    KEY audit_entries___at (at),
    KEY audit_entries___actor (actor, at),
    KEY audit_entries___act (act, at),
    KEY audit_entries___object (object, at),
    CONSTRAINT audit_entries___n CHECK (n > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE audit_entries__;
