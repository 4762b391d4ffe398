-- +goose Up
-- Answers of assessments, each beside the rows of what was assessed, and what a person has decided about it. No value of a fact is
-- here.
CREATE TABLE IF NOT EXISTS assess_answers__ (
    moment     VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject    BIGINT       NOT NULL COMMENT 'who or what was assessed: its id; the moment says of which kind',
    answer     VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    rule       VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'that decided; empty: none did',
    rules      CHAR(16)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'version of all rules',
    facts      VARCHAR(500) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'names of those that were known',
    made_at    DATETIME(3)  NOT NULL COMMENT 'UTC',
    review     ENUM ('none', 'waiting', 'allowed', 'denied') NOT NULL,
    claimed_by VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NULL,
    claim_ends DATETIME(3)  NULL COMMENT 'UTC',
    decided_by VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NULL,
    decided_at DATETIME(3)  NULL COMMENT 'UTC',
    reason     VARCHAR(500) NULL,
    PRIMARY KEY (moment, subject),
    KEY assess_answers___review (review, made_at, moment, subject)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- How often something was counted on a day.
CREATE TABLE IF NOT EXISTS assess_counts__ (
    value BINARY(16)   NOT NULL COMMENT 'keyed hash of what is counted',
    day   DATE         NOT NULL COMMENT 'UTC',
    count INT UNSIGNED NOT NULL,
    PRIMARY KEY (value),
    KEY assess_counts___day (day)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE assess_counts__;
DROP TABLE assess_answers__;
