-- +goose Up
-- Invitations of people to sellers. Whom they go to is sealed, and only there while they wait; their codes are kept nowhere.
CREATE TABLE IF NOT EXISTS seller_invitations__ (
    seller_id     BIGINT         NOT NULL,
    invitation_id BIGINT         NOT NULL,
    role          VARCHAR(6)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    state         VARCHAR(9)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'waiting',
    personal      VARBINARY(512) NULL COMMENT 'address and locale; JSON, encrypted',
    address_index BINARY(32)     NULL COMMENT 'keyed hash of the address',
    invited_by    BIGINT         NOT NULL COMMENT 'user',
    made_at       DATETIME(3)    NOT NULL COMMENT 'UTC',
    ends_at       DATETIME(3)    NOT NULL COMMENT 'UTC',
    PRIMARY KEY (seller_id, invitation_id),
    UNIQUE KEY seller_invitations___address (seller_id, address_index),
    KEY seller_invitations___ends (state, ends_at),
    CONSTRAINT seller_invitations___role CHECK (role IN ('owner', 'member')),
    CONSTRAINT seller_invitations___state CHECK (state IN ('waiting', 'accepted', 'withdrawn', 'expired')),
    CONSTRAINT seller_invitations___personal CHECK ((state = 'waiting') = (personal IS NOT NULL)),
    CONSTRAINT seller_invitations___index CHECK ((state = 'waiting') = (address_index IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- What the people of sellers did about each other. Rows are never changed.
CREATE TABLE IF NOT EXISTS seller_acts__ (
    act_id    BIGINT       NOT NULL AUTO_INCREMENT,
    seller_id BIGINT       NOT NULL,
    at        DATETIME(3)  NOT NULL COMMENT 'UTC',
    actor     VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as in the audit log',
    act       VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    object    VARCHAR(60)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'whom or what it is about',
    role      VARCHAR(6)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'afterwards',
    PRIMARY KEY (act_id),
    KEY seller_acts___seller (seller_id, act_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;

-- +goose Down
DROP TABLE seller_acts__;
DROP TABLE seller_invitations__;
