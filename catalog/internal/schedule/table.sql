CREATE TABLE IF NOT EXISTS OWNER_schedule__ (
    name   VARCHAR(60) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    due_at DATETIME(3) NOT NULL COMMENT 'the last due time that has its task, UTC',
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
