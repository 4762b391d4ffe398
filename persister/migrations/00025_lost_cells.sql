-- +goose Up
-- Cells that an edge has seen and that Redis has lost, as the edge saw them last. If product_inventories has such a cell by now,
-- somebody has made it again, or its events came late. Otherwise no other store knows of it.
CREATE TABLE IF NOT EXISTS lost_cells (
    sku_id          BIGINT            NOT NULL,
    pool            INT UNSIGNED      NOT NULL,
    bucket          SMALLINT UNSIGNED NOT NULL,
    epoch           INT UNSIGNED      NOT NULL,
    seq             BIGINT UNSIGNED   NOT NULL,
    available_stock BIGINT            NOT NULL,
    reserved_stock  BIGINT            NOT NULL,
    sold_stock      BIGINT            NOT NULL,
    told_at         TIMESTAMP(3)      NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (sku_id, pool, bucket)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE lost_cells;
