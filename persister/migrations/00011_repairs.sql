-- +goose Up
-- Who has put right what, step by step. Whoever does a step inserts its row first, so that two machines do it once. A step
-- that is found again after it ended gets another row, with the next round.
CREATE TABLE IF NOT EXISTS repairs (
    step_id      BINARY(32)        NOT NULL COMMENT 'SHA-256 of what the step does and expects',
    round        INT UNSIGNED      NOT NULL COMMENT 'how often the same was found and put right, from 1',
    plan         BINARY(32)        NOT NULL COMMENT 'digest of the plan that it was part of',
    operator     VARCHAR(100)      NOT NULL,
    reason       VARCHAR(200)      NOT NULL,
    approved_by  BIGINT            NULL COMMENT 'the admin who approved the plan, where that was needed',
    type         VARCHAR(32)       NOT NULL COMMENT 'of the finding',
    repair       VARCHAR(32)       NOT NULL,
    sku_id       BIGINT            NOT NULL,
    pool         INT UNSIGNED      NOT NULL,
    bucket       SMALLINT UNSIGNED NOT NULL,
    units        BIGINT            NOT NULL,
    direction    VARCHAR(16)       NOT NULL,
    expects      VARCHAR(1000)     NOT NULL,
    does         VARCHAR(1000)     NOT NULL,
    act          BLOB              NOT NULL COMMENT 'the same in JSON',
    by_persister BOOLEAN           NOT NULL COMMENT 'a persister does it: it alone writes the projections',
    claimed_at   TIMESTAMP(3)      NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    ended_at     TIMESTAMP(3)      NULL,
    outcome      ENUM ('done', 'refused') NULL,
    said         VARCHAR(1000)     NULL COMMENT 'what was done, or why it was not',
    event_epoch  INT UNSIGNED      NULL COMMENT 'of the event, where the step is one',
    event_seq    BIGINT UNSIGNED   NULL,
    PRIMARY KEY (step_id, round),
    KEY repairs_cell (sku_id, pool, bucket),
    KEY repairs_asked (ended_at, by_persister)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE repairs;
