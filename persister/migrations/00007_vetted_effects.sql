-- +goose Up
-- How many effects the data in Redis have had since their vetting, as far as anybody has told. Who adopts them
-- without having seen them before so tells those that were set back.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'redis_vettings' AND column_name = 'effects'),
    'DO 0',
    'ALTER TABLE redis_vettings ADD COLUMN effects BIGINT UNSIGNED NOT NULL DEFAULT 0');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE redis_vettings DROP COLUMN effects;
