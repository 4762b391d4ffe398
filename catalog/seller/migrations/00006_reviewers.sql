-- +goose Up
-- Who is erased leaves no approval behind.
SET @step = IF(EXISTS (SELECT * FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'seller_approvals__' AND index_name = 'seller_approvals___user'),
    'DO 0',
    'ALTER TABLE seller_approvals__ ADD KEY seller_approvals___user (user_id)');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE seller_approvals__ DROP KEY seller_approvals___user;
