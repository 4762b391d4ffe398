-- +goose Up
-- Which ids of products are given out in the range of a shard. A process takes a block of them.
CREATE TABLE IF NOT EXISTS product_blocks__ (
    shard SMALLINT NOT NULL,
    next  BIGINT   NOT NULL COMMENT 'the first id that is in no block',
    PRIMARY KEY (shard)
) ENGINE = InnoDB;

-- The products of sellers.
CREATE TABLE IF NOT EXISTS products__ (
    product_id    BIGINT      NOT NULL,
    seller_id     BIGINT      NOT NULL,
    stage         VARCHAR(9)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version       BIGINT      NOT NULL DEFAULT 1,
    category_id   BIGINT      NOT NULL,
    brand_id      BIGINT      NULL,
    content       MEDIUMBLOB  NOT NULL COMMENT 'JSON: category, brand, tax category, options, values',
    made_at       DATETIME(3) NOT NULL COMMENT 'UTC',
    submitted_at  DATETIME(3) NULL COMMENT 'UTC; while it is in review',
    claimed_by    BIGINT      NULL COMMENT 'the user who reviews it',
    claim_ends_at DATETIME(3) NULL COMMENT 'UTC',
    PRIMARY KEY (product_id),
    KEY products___seller (seller_id, product_id),
    KEY products___queue (stage, submitted_at, product_id),
    CONSTRAINT products___id CHECK (product_id > 0 AND seller_id > 0),
    CONSTRAINT products___stage CHECK (stage IN ('draft', 'in_review', 'approved', 'rejected', 'listed', 'delisted', 'archived')),
    CONSTRAINT products___submitted CHECK ((stage = 'in_review') = (submitted_at IS NOT NULL)),
    CONSTRAINT products___claim CHECK ((claimed_by IS NULL) = (claim_ends_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS product_texts__ (
    product_id  BIGINT       NOT NULL,
    locale      VARCHAR(5)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    title       VARCHAR(200) NOT NULL,
    description TEXT         NOT NULL,
    PRIMARY KEY (product_id, locale)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- What is counted and sold. No SKU is deleted, because orders and stock have its id.
CREATE TABLE IF NOT EXISTS product_skus__ (
    product_id  BIGINT       NOT NULL,
    n           SMALLINT     NOT NULL COMMENT 'the id of the SKU is product_id * 4096 + n',
    state       VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seller_code VARCHAR(50)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    options     VARBINARY(500) NOT NULL COMMENT 'JSON: choices by attribute',
    grams       INT          NOT NULL,
    length_mm   INT          NOT NULL,
    width_mm    INT          NOT NULL,
    height_mm   INT          NOT NULL,
    PRIMARY KEY (product_id, n),
    CONSTRAINT product_skus___n CHECK (n BETWEEN 0 AND 4095),
    CONSTRAINT product_skus___state CHECK (state IN ('active', 'archived'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- Each version of a product: who changed what, when and why. Rows are never changed. Moves are kept; of other parts, the last versions.
CREATE TABLE IF NOT EXISTS product_changes__ (
    product_id BIGINT       NOT NULL,
    version    BIGINT       NOT NULL COMMENT 'of the product, by the change',
    part       VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'content, stage, a text or a SKU',
    was        MEDIUMBLOB   NULL COMMENT 'JSON',
    became     MEDIUMBLOB   NULL COMMENT 'JSON',
    at         DATETIME(3)  NOT NULL COMMENT 'UTC',
    actor      VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as in the audit log',
    reason     VARCHAR(500) NOT NULL DEFAULT '',
    PRIMARY KEY (product_id, version, part)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE product_changes__;
DROP TABLE product_skus__;
DROP TABLE product_texts__;
DROP TABLE products__;
DROP TABLE product_blocks__;
