-- +goose Up
-- What comparisons of the stores came to. Persisters make them, and delete old rows.
CREATE TABLE IF NOT EXISTS reconcile_runs (
    run_id       BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    sweep        ENUM ('stock', 'rows') NOT NULL COMMENT 'all stock as it is; older rows of the ledger',
    verdict      ENUM ('clean', 'drift', 'unverified') NOT NULL,
    complete     TINYINT UNSIGNED NOT NULL COMMENT 'every store could be read',
    done_by      VARCHAR(128)    NOT NULL,
    begun_at     TIMESTAMP(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    ended_at     TIMESTAMP(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    cells        BIGINT          NOT NULL,
    in_sync      BIGINT          NOT NULL,
    in_flight    BIGINT          NOT NULL,
    drift        BIGINT          NOT NULL,
    unverified   BIGINT          NOT NULL,
    reservations BIGINT          NOT NULL COMMENT 'open ones that were counted in Redis',
    ledger_rows  BIGINT          NOT NULL COMMENT 'older ones that were read',
    findings     BIGINT          NOT NULL,
    by_type      VARCHAR(2000)   NOT NULL COMMENT 'JSON: findings and units of each type',
    unread       VARCHAR(2000)   NOT NULL COMMENT 'what could not be read, and why',
    PRIMARY KEY (run_id),
    KEY reconcile_runs_sweep (sweep, complete, ended_at),
    KEY reconcile_runs_ended (ended_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What they found: of one type and direction in a cell together. NULL in is_open never equals NULL, so a cell has one
-- open row of each, and any number of others.
CREATE TABLE IF NOT EXISTS reconcile_findings (
    finding_id BIGINT UNSIGNED   NOT NULL AUTO_INCREMENT,
    sku_id     BIGINT            NOT NULL COMMENT '0: of no SKU that could be read',
    pool       INT UNSIGNED      NOT NULL,
    bucket     SMALLINT UNSIGNED NOT NULL,
    type       VARCHAR(32)       NOT NULL,
    direction  VARCHAR(16)       NOT NULL,
    sweep      ENUM ('stock', 'rows') NOT NULL COMMENT 'which comparison says when it is gone',
    is_open    TINYINT UNSIGNED  NULL DEFAULT 1,
    findings   BIGINT            NOT NULL,
    units      BIGINT            NOT NULL,
    repair     VARCHAR(32)       NOT NULL,
    since_ms   BIGINT            NOT NULL COMMENT 'Redis time: the difference is not older',
    first_seen TIMESTAMP(3)      NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    last_seen  TIMESTAMP(3)      NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    gone_at    TIMESTAMP(3)      NULL,
    proof      MEDIUMTEXT        NOT NULL COMMENT 'JSON',
    PRIMARY KEY (finding_id),
    UNIQUE KEY reconcile_findings_open (is_open, sku_id, pool, bucket, type, direction),
    KEY reconcile_findings_gone (gone_at),
    KEY reconcile_findings_seen (last_seen)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Which persister compares. It says so again and again; another one begins when it no longer does.
CREATE TABLE IF NOT EXISTS reconcile_lease (
    one        TINYINT UNSIGNED NOT NULL,
    holder     VARCHAR(128)     NOT NULL,
    held_until TIMESTAMP(3)     NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (one),
    CONSTRAINT reconcile_lease_one CHECK (one = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

INSERT IGNORE INTO reconcile_lease (one, holder) VALUES (1, '');

-- +goose Down
DROP TABLE reconcile_lease, reconcile_findings, reconcile_runs;
