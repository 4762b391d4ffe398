-- +goose Up
-- Which database this is. Redis keeps the same id beside its stock, so that two databases never share one Redis:
-- each would take the other's vettings for lost data. Whoever copies a database into another one that gets a Redis
-- of its own gives the copy another id.
CREATE TABLE IF NOT EXISTS ledger_identity (
    one      TINYINT UNSIGNED NOT NULL,
    identity CHAR(32)         NOT NULL,
    PRIMARY KEY (one),
    CONSTRAINT ledger_identity_one CHECK (one = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

INSERT IGNORE INTO ledger_identity (one, identity) VALUES (1, REPLACE(UUID(), '-', ''));

-- +goose Down
DROP TABLE ledger_identity;
