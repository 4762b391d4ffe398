-- +goose Up
-- The name of the deployment, from the first vetting on. An empty Redis knows no name, so without this a restore under a wrong
-- name would fill it.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'ledger_identity' AND column_name = 'deployment'),
    'DO 0',
    'ALTER TABLE ledger_identity ADD COLUMN deployment VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT ''NULL: no Redis was vetted yet''');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE ledger_identity DROP COLUMN deployment;
