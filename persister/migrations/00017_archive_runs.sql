-- +goose Up
-- What the archiver and the verifications of its files came to. It is a command, so nobody could ask it for metrics:
-- persisters show what is here.
CREATE TABLE IF NOT EXISTS archive_runs (
    run_id       BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    act          ENUM ('archive', 'verify') NOT NULL,
    done_by      VARCHAR(128)    NOT NULL,
    begun_at     TIMESTAMP(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    ended_at     TIMESTAMP(3)    NULL COMMENT 'NULL: it is under way, or was killed',
    outcome      ENUM ('done', 'left', 'failed') NULL COMMENT 'left: somebody must decide something about some cells first',
    events       BIGINT UNSIGNED NOT NULL DEFAULT 0,
    reservations BIGINT UNSIGNED NOT NULL DEFAULT 0,
    repairs      BIGINT UNSIGNED NOT NULL DEFAULT 0,
    files        BIGINT UNSIGNED NOT NULL DEFAULT 0,
    left_cells   BIGINT UNSIGNED NOT NULL DEFAULT 0,
    bad_files    BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'that are missing, or not as they were written',
    said         VARCHAR(1000)   NOT NULL DEFAULT '' COMMENT 'why it failed, or left something',
    PRIMARY KEY (run_id),
    KEY archive_runs_act (act, outcome, ended_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Repairs leave too.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'archive_files' AND column_name = 'repairs'),
    'DO 0',
    'ALTER TABLE archive_files ADD COLUMN repairs BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT ''whose rows are in the file''');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE archive_files DROP COLUMN repairs;
DROP TABLE archive_runs;
