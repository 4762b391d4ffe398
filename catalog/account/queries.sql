-- name: InsertUser :exec
INSERT INTO users__ (user_id, state, region, locale) VALUES (?, ?, ?, ?);

-- name: User :one
SELECT user_id, state, region, locale, created_at FROM users__ WHERE user_id = ?;
