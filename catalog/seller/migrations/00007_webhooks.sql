-- +goose Up
-- Addresses to which events of sellers go. The address and the secrets are sealed.
CREATE TABLE IF NOT EXISTS seller_webhooks__ (
    seller_id      BIGINT          NOT NULL,
    webhook_id     BIGINT          NOT NULL,
    version        BIGINT          NOT NULL DEFAULT 1,
    state          VARCHAR(8)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active',
    disabled_for   VARCHAR(8)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'why it is disabled',
    types          VARCHAR(1000)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'of events, with a comma between them; empty: all',
    sealed         VARBINARY(8192) NOT NULL COMMENT 'address and secrets; JSON, encrypted',
    secrets        INT UNSIGNED    NOT NULL DEFAULT 1 COMMENT 'how many there were',
    before_ends_at DATETIME(3)     NULL COMMENT 'UTC; until then the secret before the last one signs too',
    failures       INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'attempts since one succeeded',
    failing_since  DATETIME(3)     NULL COMMENT 'UTC; the first of them',
    rests_until    DATETIME(3)     NULL COMMENT 'UTC; nothing is sent before, but what an owner asks for',
    made_at        DATETIME(3)     NOT NULL COMMENT 'UTC',
    PRIMARY KEY (seller_id, webhook_id),
    CONSTRAINT seller_webhooks___id CHECK (webhook_id > 0),
    CONSTRAINT seller_webhooks___state CHECK (state IN ('active', 'disabled')),
    CONSTRAINT seller_webhooks___why CHECK ((state = 'active') = (disabled_for = '')),
    CONSTRAINT seller_webhooks___failing CHECK ((failures = 0) = (failing_since IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What goes to them, and what became of it. An event goes to an address once, and is the same in all attempts.
CREATE TABLE IF NOT EXISTS seller_deliveries__ (
    delivery_id BIGINT       NOT NULL AUTO_INCREMENT,
    seller_id   BIGINT       NOT NULL,
    webhook_id  BIGINT       NOT NULL,
    event_id    BIGINT       NOT NULL,
    type        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at          DATETIME(3)  NOT NULL COMMENT 'UTC; of the event',
    body        MEDIUMBLOB   NOT NULL COMMENT 'JSON, as it is sent',
    state       VARCHAR(9)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'waiting',
    asked       BOOLEAN      NOT NULL COMMENT 'an owner wants it sent now',
    attempts    INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'that have failed since it was wanted, and the last one',
    outcome     VARCHAR(11)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'of the last attempt',
    status      SMALLINT     NULL COMMENT 'that the other side answered, if it was none of success',
    tried_at    DATETIME(3)  NULL COMMENT 'UTC',
    due_at      DATETIME(3)  NULL COMMENT 'UTC; of the next attempt',
    wanted_at   DATETIME(3)  NOT NULL COMMENT 'UTC; when the event was noted, or an owner last asked for it',
    asked_at    DATETIME(3)  NULL COMMENT 'UTC; when an owner last asked for it',
    asks        INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how often an owner asked: tasks and attempts from before the last time count no more',
    PRIMARY KEY (delivery_id),
    UNIQUE KEY seller_deliveries___event (seller_id, webhook_id, event_id),
    KEY seller_deliveries___list (seller_id, webhook_id, delivery_id),
    KEY seller_deliveries___asked (seller_id, asked_at),
    KEY seller_deliveries___wanted (wanted_at),
    CONSTRAINT seller_deliveries___state CHECK (state IN ('waiting', 'delivered', 'failed')),
    CONSTRAINT seller_deliveries___due CHECK ((state = 'waiting') = (due_at IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE seller_deliveries__;
DROP TABLE seller_webhooks__;
