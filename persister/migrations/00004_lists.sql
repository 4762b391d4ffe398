-- +goose Up

-- Each step looks first whether it is done: who did it may have been killed before it could say so, and MySQL
-- has no ADD COLUMN IF NOT EXISTS.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'reservations' AND column_name = 'reserved_ms'),
    'DO 0',
    'ALTER TABLE reservations
        ADD COLUMN reserved_ms BIGINT NOT NULL DEFAULT 0 COMMENT ''Redis time of its reserve or deduct; 0: that has not arrived yet'',
        ADD KEY reservations_user (user_id, reservation_id),
        ADD KEY reservations_cell (sku_id, pool, state, reservation_id)');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- What is there already gets its time from the ledger. A persister of an older version that still runs leaves 0.
UPDATE reservations JOIN (
    SELECT reservation_id, MAX(redis_ms) AS made FROM ledger WHERE kind IN ('reserve', 'deduct') GROUP BY reservation_id
) AS events USING (reservation_id)
SET reserved_ms = made WHERE reserved_ms = 0;

-- A sale's stock, which the primary key has between that of other pools. None of these columns ever changes.
SET @step = IF(EXISTS (SELECT * FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'product_inventories' AND index_name = 'product_inventories_pool'),
    'DO 0',
    'ALTER TABLE product_inventories ADD KEY product_inventories_pool (pool, sku_id, bucket)');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'dead_letters' AND column_name = 'resolved_by'),
    'DO 0',
    'ALTER TABLE dead_letters
        ADD COLUMN resolved_by VARCHAR(100) NULL COMMENT ''who said so'',
        ADD COLUMN resolution VARCHAR(1000) NULL COMMENT ''why, and what a replay did'',
        ADD COLUMN replay_asked_at TIMESTAMP(3) NULL COMMENT ''a persister is to apply it again'',
        ADD COLUMN replay_asked_by VARCHAR(100) NULL,
        ADD COLUMN replay_reason VARCHAR(200) NULL,
        ADD COLUMN replay_refusal VARCHAR(1000) NULL COMMENT ''why its last replay changed nothing'',
        ADD KEY dead_letters_created (created_at, letter_id),
        ADD KEY dead_letters_replays (replay_asked_at)');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE dead_letters
    DROP KEY dead_letters_created, DROP KEY dead_letters_replays, DROP COLUMN resolved_by, DROP COLUMN resolution,
    DROP COLUMN replay_asked_at, DROP COLUMN replay_asked_by, DROP COLUMN replay_reason, DROP COLUMN replay_refusal;
ALTER TABLE product_inventories DROP KEY product_inventories_pool;
ALTER TABLE reservations DROP KEY reservations_user, DROP KEY reservations_cell, DROP COLUMN reserved_ms;
