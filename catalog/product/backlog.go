package product

import (
	"context"

	"sluice/catalog/internal/queue"
	"sluice/core/shard"
)

// Queues are what people work through here: products in review, claimed or not, and pictures that nobody has decided about.
var Queues = []string{"product_review", "media_review"}

const countReviews = "SELECT 'product_review', COUNT(*), COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, submitted_at, NOW(3))), 0) FROM " +
	"(SELECT submitted_at FROM products__ WHERE stage = 'in_review' ORDER BY submitted_at LIMIT 100000) AS w UNION ALL " +
	"SELECT 'media_review', COUNT(*), COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, moved_at, NOW(3))), 0) FROM " +
	"(SELECT moved_at FROM product_media__ WHERE state = 'pending' ORDER BY moved_at LIMIT 100000) AS m"

// Backlog tells what waits for a review, up to 100,000 of each per place.
func (p *Products) Backlog(ctx context.Context) (map[string]queue.Waiting, error) {
	return queue.Read(ctx, p.databases.All(shard.Products), countReviews)
}
