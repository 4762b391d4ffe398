-- name: InsertUser :exec
INSERT INTO users (user_id, state, region, locale) VALUES (?, ?, ?, ?);

-- name: User :one
SELECT user_id, state, region, locale, created_at FROM users WHERE user_id = ?;
