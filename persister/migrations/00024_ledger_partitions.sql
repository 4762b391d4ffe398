-- +goose Up
-- The number of the deployment's partitions, from the next vetting on. An empty Redis knows no number, so without this a restore
-- with a wrong one would begin to fill it.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'ledger_identity' AND column_name = 'partitions'),
    'DO 0',
    'ALTER TABLE ledger_identity ADD COLUMN partitions INT UNSIGNED NULL COMMENT ''NULL: no Redis was vetted since the column is there''');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE ledger_identity DROP COLUMN partitions;
