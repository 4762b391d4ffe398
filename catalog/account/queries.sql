-- name: InsertUser :exec
INSERT INTO users__ (user_id, state, region, locale) VALUES (?, ?, ?, ?);

-- name: User :one
SELECT user_id, state, region, locale, created_at FROM users__ WHERE user_id = ?;

-- name: MoveUser :execrows
UPDATE users__ SET state = sqlc.arg(to_state) WHERE user_id = sqlc.arg(user_id) AND state = sqlc.arg(from_state);
