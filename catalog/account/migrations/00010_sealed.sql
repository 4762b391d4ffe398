-- +goose Up
-- Ways to sign in, second factors and sign-ins are sealed by catalog/internal/vault, whose values begin with 1: under a key of their user.
-- Values that were sealed under the secret of accounts do not open, so a table that has some is refused here.
SET @step = IF(EXISTS (SELECT * FROM information_schema.table_constraints
        WHERE table_schema = DATABASE() AND table_name = 'identities__' AND constraint_name = 'identities___sealed'),
    'DO 0',
    'ALTER TABLE identities__ ADD CONSTRAINT identities___sealed CHECK (LEFT(value, 1) = X''01'')');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

SET @step = IF(EXISTS (SELECT * FROM information_schema.table_constraints
        WHERE table_schema = DATABASE() AND table_name = 'factors__' AND constraint_name = 'factors___sealed'),
    'DO 0',
    'ALTER TABLE factors__ ADD CONSTRAINT factors___sealed CHECK (LEFT(secret, 1) = X''01'')');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

SET @step = IF(EXISTS (SELECT * FROM information_schema.table_constraints
        WHERE table_schema = DATABASE() AND table_name = 'sign_ins__' AND constraint_name = 'sign_ins___sealed'),
    'DO 0',
    'ALTER TABLE sign_ins__ ADD CONSTRAINT sign_ins___sealed CHECK (LEFT(origin, 1) = X''01'')');
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

-- +goose Down
ALTER TABLE sign_ins__ DROP CONSTRAINT sign_ins___sealed;
ALTER TABLE factors__ DROP CONSTRAINT factors___sealed;
ALTER TABLE identities__ DROP CONSTRAINT identities___sealed;
