-- +goose Up
-- The carts of users. A row is made with the first change, and is version 2 then: a cart that nobody has changed is version 1.
CREATE TABLE IF NOT EXISTS carts__ (
    user_id    BIGINT         NOT NULL,
    version    BIGINT         NOT NULL,
    content    VARBINARY(32768) NOT NULL COMMENT 'JSON: SKUs, quantities, times, prices',
    changed_at DATETIME(3)    NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id),
    CONSTRAINT carts___id CHECK (user_id > 0 AND version > 1)
) ENGINE = InnoDB;

-- The carts of guests. Once a user has taken one over, it changes no more, and is there without lines until it ends.
CREATE TABLE IF NOT EXISTS cart_guests__ (
    guest    BINARY(16)       NOT NULL COMMENT 'drawn; the token has a proof beside it, which is not kept',
    version  BIGINT           NOT NULL,
    content  VARBINARY(32768) NOT NULL COMMENT 'as that of carts',
    user_id  BIGINT           NULL COMMENT 'into whose cart it goes',
    merge_id BIGINT           NULL COMMENT 'drawn when the user took it over',
    ends_at  DATETIME(3)      NOT NULL COMMENT 'UTC',
    PRIMARY KEY (guest),
    KEY cart_guests___ends (ends_at),
    KEY cart_guests___user (user_id),
    CONSTRAINT cart_guests___version CHECK (version > 1),
    CONSTRAINT cart_guests___taken CHECK ((user_id IS NULL) = (merge_id IS NULL))
) ENGINE = InnoDB;

-- Which carts of guests are in the cart of a user: each goes in once.
CREATE TABLE IF NOT EXISTS cart_merges__ (
    user_id  BIGINT          NOT NULL,
    merge_id BIGINT          NOT NULL,
    left_out VARBINARY(4096) NOT NULL COMMENT 'JSON: SKUs for which there was no room',
    ends_at  DATETIME(3)     NOT NULL COMMENT 'UTC; by then the row of the guest is gone',
    PRIMARY KEY (user_id, merge_id),
    KEY cart_merges___ends (ends_at)
) ENGINE = InnoDB;

-- Snapshots of carts that their users show to others. A share that ends is deleted.
CREATE TABLE IF NOT EXISTS cart_shares__ (
    share   BINARY(10)       NOT NULL COMMENT 'drawn; the link has a proof beside it, which is not kept',
    user_id BIGINT           NOT NULL,
    content VARBINARY(32768) NOT NULL COMMENT 'as that of carts, without times and prices',
    made_at DATETIME(3)      NOT NULL COMMENT 'UTC',
    ends_at DATETIME(3)      NOT NULL COMMENT 'UTC',
    PRIMARY KEY (share),
    KEY cart_shares___user (user_id, made_at),
    KEY cart_shares___ends (ends_at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS cart_tasks__ (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    kind       VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name       VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'of the effect: its Idempotency-Key',
    data       MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    state      ENUM ('waiting', 'dead') NOT NULL DEFAULT 'waiting',
    attempts   INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'that have begun',
    due_at     DATETIME(3)     NOT NULL COMMENT 'UTC; while somebody works at it, the end of the lease',
    claim      BIGINT          NOT NULL DEFAULT 0 COMMENT 'who works at it; 0: nobody',
    last_error VARCHAR(500)    NOT NULL DEFAULT '',
    made_at    DATETIME(3)     NOT NULL COMMENT 'UTC',
    PRIMARY KEY (id),
    UNIQUE KEY cart_tasks___name (kind, name),
    KEY cart_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS cart_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS cart_replays__ (
    user_id         BIGINT         NOT NULL,
    route           VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    idempotency_key VARBINARY(128) NOT NULL,
    fingerprint     BINARY(32)     NOT NULL COMMENT 'SHA-256 of the request',
    status          SMALLINT       NULL COMMENT 'of the first answer; nobody sees NULL, because it has not committed',
    headers         VARBINARY(2048) NULL COMMENT 'JSON',
    body            MEDIUMBLOB     NULL,
    ends_at         DATETIME(3)    NOT NULL COMMENT 'UTC; from then on the key is a new one',
    PRIMARY KEY (user_id, route, idempotency_key),
    KEY cart_replays___ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE cart_replays__;
DROP TABLE cart_schedule__;
DROP TABLE cart_tasks__;
DROP TABLE cart_shares__;
DROP TABLE cart_merges__;
DROP TABLE cart_guests__;
DROP TABLE carts__;
