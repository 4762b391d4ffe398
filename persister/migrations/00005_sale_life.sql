-- +goose Up
-- Filling and emptying a sale are calls with keys, as opening and closing are.
ALTER TABLE sale_keys MODIFY operation ENUM ('open', 'close', 'fill', 'empty') NOT NULL;

-- A sale that is closed before it opens keeps the opening that was planned. MySQL knows no DROP IF EXISTS for
-- constraints, and the step may have been cut off after it.
SET @relax = IF(EXISTS (SELECT 1 FROM information_schema.table_constraints
    WHERE constraint_schema = DATABASE() AND table_name = 'sales' AND constraint_name = 'sales_window'),
    'ALTER TABLE sales DROP CONSTRAINT sales_window, ADD CONSTRAINT sales_times CHECK (opens_at_ms >= 0 AND closes_at_ms >= 0)',
    'DO 0');
PREPARE relax FROM @relax;
EXECUTE relax;
DEALLOCATE PREPARE relax;

-- +goose Down
UPDATE sales SET opens_at_ms = closes_at_ms - 1 WHERE closes_at_ms <> 0 AND closes_at_ms <= opens_at_ms;
ALTER TABLE sales DROP CONSTRAINT sales_times,
    ADD CONSTRAINT sales_window CHECK (opens_at_ms >= 0 AND closes_at_ms >= 0
        AND (closes_at_ms = 0 OR closes_at_ms > opens_at_ms));
DELETE FROM sale_keys WHERE operation IN ('fill', 'empty');
ALTER TABLE sale_keys MODIFY operation ENUM ('open', 'close') NOT NULL;
