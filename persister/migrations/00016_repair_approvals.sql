-- +goose Up
-- An approval of a plan of repairs is used once. Who carries the plan out inserts its row first.
CREATE TABLE IF NOT EXISTS repair_approvals (
    approval_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'jti of the token',
    plan        BINARY(32)   NOT NULL COMMENT 'digest of the plan that it approves',
    operator_id BIGINT       NOT NULL COMMENT 'the admin who carries the plan out',
    approver_id BIGINT       NOT NULL COMMENT 'the admin who approved it',
    used_at     TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (approval_id),
    CONSTRAINT repair_approvals_admins CHECK (operator_id <> approver_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE repair_approvals;
