-- +goose Up
-- Pictures of products. Their files are in a store of objects.
CREATE TABLE IF NOT EXISTS product_media__ (
    media_id     BIGINT       NOT NULL,
    product_id   BIGINT       NOT NULL,
    state        VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    type         VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'of the file that is uploaded',
    bytes        INT          NOT NULL COMMENT 'likewise',
    sha256       BINARY(32)   NOT NULL COMMENT 'likewise',
    fault        VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'why the file is unfit',
    reason       VARCHAR(500) NOT NULL DEFAULT '' COMMENT 'why it was rejected',
    width        SMALLINT     NOT NULL DEFAULT 0 COMMENT 'of the large picture, once the file was looked at',
    height       SMALLINT     NOT NULL DEFAULT 0,
    small_width  SMALLINT     NOT NULL DEFAULT 0,
    small_height SMALLINT     NOT NULL DEFAULT 0,
    made_at      DATETIME(3)  NOT NULL COMMENT 'UTC',
    moved_at     DATETIME(3)  NOT NULL COMMENT 'UTC; when it got its state',
    ends_at      DATETIME(3)  NULL COMMENT 'UTC; when it is removed. NULL: its product has it',
    PRIMARY KEY (media_id),
    KEY product_media___product (product_id, media_id),
    KEY product_media___queue (state, moved_at, media_id),
    KEY product_media___end (ends_at),
    CONSTRAINT product_media___id CHECK (media_id > 0 AND product_id > 0),
    CONSTRAINT product_media___state CHECK (state IN ('asked', 'sent', 'unfit', 'pending', 'approved', 'shown', 'rejected')),
    CONSTRAINT product_media___fault CHECK ((state = 'unfit') = (fault <> ''))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE product_media__;
