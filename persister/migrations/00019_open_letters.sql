-- +goose Up
-- Each sweep and each move of marks asks for the dead letters that nobody has resolved. Resolved ones stay, and all have their
-- messages in the row, so without this index the question reads them all.
SET @step = IF(EXISTS (SELECT * FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'dead_letters' AND index_name = 'dead_letters_open'),
    'DO 0',
    'ALTER TABLE dead_letters ADD KEY dead_letters_open (resolved_at, sku_id, pool, bucket)');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE dead_letters DROP KEY dead_letters_open;
