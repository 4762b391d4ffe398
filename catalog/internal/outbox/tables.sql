CREATE TABLE IF NOT EXISTS OWNER_outbox__ (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the aggregate, without gaps from 1 on',
    event_id     BIGINT          NOT NULL,
    type         VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at           DATETIME(3)     NOT NULL COMMENT 'UTC',
    data         MEDIUMBLOB      NOT NULL COMMENT 'JSON',
    PRIMARY KEY (id),
    KEY OWNER_outbox___topic (topic, id, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

CREATE TABLE IF NOT EXISTS OWNER_versions__ (
    topic        VARCHAR(100)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_id VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT UNSIGNED NOT NULL COMMENT 'of the last event',
    PRIMARY KEY (topic, aggregate_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
