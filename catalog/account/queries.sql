-- name: InsertUser :exec
INSERT INTO users__ (user_id, state, region, locale) VALUES (?, ?, ?, ?);

-- name: User :one
SELECT user_id, state, region, locale, created_at FROM users__ WHERE user_id = ?;

-- name: MoveUser :execrows
UPDATE users__ SET state = sqlc.arg(to_state) WHERE user_id = sqlc.arg(user_id) AND state = sqlc.arg(from_state);

-- name: Profile :one
SELECT version, sealed FROM profiles__ WHERE user_id = ?;

-- name: PutProfile :exec
INSERT INTO profiles__ (user_id, version, sealed) VALUES (?, 2, ?)
ON DUPLICATE KEY UPDATE version = version + 1, sealed = VALUES(sealed);

-- name: Addresses :many
SELECT address_id, version, is_default, sealed FROM addresses__ WHERE user_id = ? AND address_id >= sqlc.arg(first) ORDER BY address_id LIMIT ?;

-- name: Address :one
SELECT address_id, version, is_default, sealed FROM addresses__ WHERE user_id = ? AND address_id = ?;

-- name: CountAddresses :one
SELECT COUNT(*) FROM addresses__ WHERE user_id = ?;

-- name: UnsetDefault :exec
UPDATE addresses__ SET is_default = NULL, version = version + 1 WHERE user_id = ? AND is_default = TRUE AND address_id <> ?;

-- name: InsertAddress :exec
INSERT INTO addresses__ (user_id, address_id, version, is_default, sealed) VALUES (?, ?, 1, ?, ?);

-- name: UpdateAddress :exec
UPDATE addresses__ SET version = version + 1, is_default = ?, sealed = ? WHERE user_id = ? AND address_id = ?;

-- name: DeleteAddress :exec
DELETE FROM addresses__ WHERE user_id = ? AND address_id = ?;

-- name: Consents :many
SELECT n, purpose, given, text_version, actor_id, actor_role, at FROM consents__ WHERE user_id = ? AND n < sqlc.arg(before) ORDER BY n DESC LIMIT ?;

-- name: LastConsent :one
SELECT n, purpose, given, text_version, actor_id, actor_role, at FROM consents__ WHERE user_id = ? AND purpose = ? ORDER BY n DESC LIMIT 1;

-- name: CountConsents :one
SELECT COUNT(*) FROM consents__ WHERE user_id = ?;

-- name: InsertConsent :exec
INSERT INTO consents__ (user_id, n, purpose, given, text_version, actor_id, actor_role, at) VALUES (?, ?, ?, ?, ?, ?, ?, NOW(3));
