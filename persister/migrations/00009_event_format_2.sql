-- +goose Up
-- What events of format 2 have more. All columns and words are added at the end, so no row is written anew. A persister
-- of an older version that still runs leaves the columns empty, which is right for all that it can read.
SET @step = IF(EXISTS (SELECT * FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'ledger' AND column_name = 'extend_ms'),
    'DO 0',
    'ALTER TABLE ledger
        MODIFY kind ENUM (''reserve'', ''confirm'', ''release'', ''expire'', ''deduct'', ''adjust'', ''transfer_out'', ''transfer_in'',
            ''rebase'', ''revoke'', ''return'', ''extend'') NOT NULL,
        ADD COLUMN extend_ms INT UNSIGNED NULL COMMENT ''of the settings: the bound of extensions; NULL: 0'',
        ADD COLUMN from_epoch INT UNSIGNED NULL COMMENT ''rebases only: the event that the cell goes on from'',
        ADD COLUMN from_seq BIGINT UNSIGNED NULL');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- The numbers of the words are those of the records in Redis. So adjusted has its place, though no row has it.
ALTER TABLE reservations
    MODIFY state ENUM ('held', 'confirmed', 'released', 'expired', 'adjusted', 'revoked', 'returned') NOT NULL;

-- +goose Down
ALTER TABLE reservations MODIFY state ENUM ('held', 'confirmed', 'released', 'expired') NOT NULL;
ALTER TABLE ledger DROP COLUMN extend_ms, DROP COLUMN from_epoch, DROP COLUMN from_seq,
    MODIFY kind ENUM ('reserve', 'confirm', 'release', 'expire', 'deduct', 'adjust', 'transfer_out', 'transfer_in') NOT NULL;
