-- +goose Up
-- Which tree of categories there is: each change of it counts. Whoever changes it has the lock of this row.
CREATE TABLE IF NOT EXISTS category_tree__ (
    id       TINYINT NOT NULL,
    revision BIGINT  NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT category_tree___one CHECK (id = 1)
) ENGINE = InnoDB;

INSERT IGNORE INTO category_tree__ (id, revision) VALUES (1, 1);

-- The categories. A parent is all that is kept of the tree: a move changes one row.
CREATE TABLE IF NOT EXISTS categories__ (
    category_id BIGINT      NOT NULL,
    parent_id   BIGINT      NULL COMMENT 'NULL: at the top',
    position    SMALLINT    NOT NULL COMMENT 'among those with the same parent',
    state       VARCHAR(8)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version     BIGINT      NOT NULL DEFAULT 1,
    PRIMARY KEY (category_id),
    CONSTRAINT categories___id CHECK (category_id > 0),
    CONSTRAINT categories___parent CHECK (parent_id <> category_id),
    CONSTRAINT categories___state CHECK (state IN ('active', 'archived'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS category_names__ (
    category_id BIGINT       NOT NULL,
    locale      VARCHAR(5)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name        VARCHAR(100) NOT NULL,
    PRIMARY KEY (category_id, locale)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- What products of a category have, and of those below it.
CREATE TABLE IF NOT EXISTS attributes__ (
    category_id BIGINT      NOT NULL,
    code        VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind        VARCHAR(7)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    unit        VARCHAR(20) NOT NULL DEFAULT '' COMMENT 'of numbers',
    required    BOOLEAN     NOT NULL,
    PRIMARY KEY (category_id, code),
    CONSTRAINT attributes___kind CHECK (kind IN ('text', 'number', 'choice', 'boolean')),
    CONSTRAINT attributes___unit CHECK (unit = '' OR kind = 'number')
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The names of attributes, and of their choices.
CREATE TABLE IF NOT EXISTS attribute_names__ (
    category_id BIGINT       NOT NULL,
    code        VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    n           SMALLINT     NOT NULL COMMENT '0: of the attribute; else of its choice n',
    choice      VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    locale      VARCHAR(5)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name        VARCHAR(100) NOT NULL,
    PRIMARY KEY (category_id, code, n, locale),
    CONSTRAINT attribute_names___choice CHECK ((n = 0) = (choice = ''))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS brands__ (
    brand_id BIGINT     NOT NULL,
    state    VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version  BIGINT     NOT NULL DEFAULT 1,
    PRIMARY KEY (brand_id),
    CONSTRAINT brands___id CHECK (brand_id > 0),
    CONSTRAINT brands___state CHECK (state IN ('active', 'archived'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS brand_names__ (
    brand_id BIGINT         NOT NULL,
    locale   VARCHAR(5)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name     VARCHAR(100)   NOT NULL,
    folded   VARBINARY(200) NOT NULL COMMENT 'the name without capital letters',
    PRIMARY KEY (brand_id, locale),
    UNIQUE KEY brand_names___name (locale, folded)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- What each package of the shop has: events for others, work that follows a commit, times of work, and answers to repeated writes.
CREATE TABLE IF NOT EXISTS product_outbox__ (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the aggregate, without gaps from 1 on',
    event_id     BIGINT          NOT NULL,
    type         VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at           DATETIME(3)     NOT NULL COMMENT 'UTC',
    data         MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    PRIMARY KEY (id),
    KEY product_outbox___topic (topic, id, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS product_versions__ (
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the last event',
    PRIMARY KEY (topic, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS product_tasks__ (
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
    UNIQUE KEY product_tasks___name (kind, name),
    KEY product_tasks___due (state, kind, due_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS product_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS product_replays__ (
    user_id         BIGINT         NOT NULL,
    route           VARCHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    idempotency_key VARBINARY(128) NOT NULL,
    fingerprint     BINARY(32)     NOT NULL COMMENT 'SHA-256 of the request',
    status          SMALLINT       NULL COMMENT 'of the first answer; nobody sees NULL, because it has not committed',
    headers         VARBINARY(2048) NULL COMMENT 'JSON',
    body            MEDIUMBLOB     NULL,
    ends_at         DATETIME(3)    NOT NULL COMMENT 'UTC; from then on the key is a new one',
    PRIMARY KEY (user_id, route, idempotency_key),
    KEY product_replays___ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE product_replays__;
DROP TABLE product_schedule__;
DROP TABLE product_tasks__;
DROP TABLE product_versions__;
DROP TABLE product_outbox__;
DROP TABLE brand_names__;
DROP TABLE brands__;
DROP TABLE attribute_names__;
DROP TABLE attributes__;
DROP TABLE category_names__;
DROP TABLE categories__;
DROP TABLE category_tree__;
