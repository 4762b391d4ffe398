-- +goose Up
-- A sweep looks for second factors whose app has never shown a code.
SET @step = IF(EXISTS (SELECT * FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'factors__' AND index_name = 'factors___pending'),
    'DO 0',
    'ALTER TABLE factors__ ADD KEY factors___pending (active, made_at)');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE factors__ DROP KEY factors___pending;
