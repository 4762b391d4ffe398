-- +goose Up
-- What a plan says of extensions, and whether a sale is for registered users only.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'sales' AND column_name = 'registered_only'),
    'DO 0',
    'ALTER TABLE sales
        ADD COLUMN extend_ms BIGINT NOT NULL DEFAULT 0 COMMENT ''bound of extensions; 0: none is allowed'',
        ADD COLUMN registered_only BOOLEAN NOT NULL DEFAULT FALSE,
        ADD COLUMN registered BIGINT NOT NULL DEFAULT 0 COMMENT ''rows of registrations that it has'',
        ADD COLUMN registered_kept BOOLEAN NOT NULL DEFAULT TRUE COMMENT ''FALSE: Redis has forgotten its users, long after it closed'',
        ADD CONSTRAINT sales_extend CHECK (extend_ms BETWEEN 0 AND 2592000000),
        ADD CONSTRAINT sales_registered CHECK (registered >= 0 AND (registered_only OR registered = 0))');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- Users who may take from a sale that is for registered users only. A row is written before Redis has the user, and
-- nothing deletes it: so Redis never has a user that is not here. A foreign key would have each insert lock the row of its
-- sale, which counts the rows.
CREATE TABLE IF NOT EXISTS registrations (
    sale_id INT UNSIGNED NOT NULL,
    user_id BIGINT       NOT NULL,
    PRIMARY KEY (sale_id, user_id),
    CONSTRAINT registrations_user CHECK (user_id > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What a pool is: the stock of a sale, or of none, in one warehouse or in all. The pool of a sale has its number.
CREATE TABLE IF NOT EXISTS pools (
    pool         INT UNSIGNED NOT NULL,
    sale_id      INT UNSIGNED NULL COMMENT 'NULL: the stock of no sale',
    warehouse_id BIGINT       NOT NULL DEFAULT 0 COMMENT '0: all warehouses',
    PRIMARY KEY (pool),
    CONSTRAINT pools_sale FOREIGN KEY (sale_id) REFERENCES sales (sale_id),
    CONSTRAINT pools_normal CHECK (pool <> 0 OR sale_id IS NULL AND warehouse_id = 0),
    CONSTRAINT pools_number CHECK (sale_id IS NULL OR sale_id = pool)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

INSERT IGNORE INTO pools (pool, sale_id) SELECT 0, NULL UNION ALL SELECT sale_id, sale_id FROM sales;

-- +goose Down
DROP TABLE pools, registrations;
ALTER TABLE sales DROP CONSTRAINT sales_registered, DROP CONSTRAINT sales_extend,
    DROP COLUMN registered_kept, DROP COLUMN registered, DROP COLUMN registered_only, DROP COLUMN extend_ms;
