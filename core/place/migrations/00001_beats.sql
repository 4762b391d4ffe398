-- +goose Up

-- What tells how far a replica is, and which database this is. It has one row. Whoever copies the database to make another
-- one of it gives the copy another identity:
-- UPDATE database_beats SET identity = UNHEX(REPLACE(UUID(), '-', ''))
CREATE TABLE IF NOT EXISTS database_beats (
    id       TINYINT         NOT NULL,
    n        BIGINT UNSIGNED NOT NULL COMMENT 'counts the beats; it never falls',
    at       DATETIME(3)     NOT NULL COMMENT 'of the last one, UTC',
    identity BINARY(16)      NOT NULL COMMENT 'drawn once; replicas have it too',
    PRIMARY KEY (id),
    CONSTRAINT database_beats_one CHECK (id = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

INSERT INTO database_beats (id, n, at, identity)
SELECT 1, 0, NOW(3), UNHEX(REPLACE(UUID(), '-', '')) FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM database_beats);

-- +goose Down
DROP TABLE database_beats;
