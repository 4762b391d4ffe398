-- +goose Up
-- What users may do beside what all shoppers may. Rows go when a role is taken away; the audit log has who granted it, and why.
CREATE TABLE IF NOT EXISTS granted_roles__ (
    user_id    BIGINT       NOT NULL,
    role       VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    granted_by VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as in the audit log',
    reason     VARCHAR(500) NOT NULL,
    granted_at DATETIME(3)  NOT NULL COMMENT 'UTC',
    PRIMARY KEY (user_id, role),
    CONSTRAINT granted_roles___role CHECK (role IN ('support', 'ops'))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- +goose Down
DROP TABLE granted_roles__;
