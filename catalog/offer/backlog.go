package offer

import (
	"context"

	"sluice/catalog/internal/queue"
	"sluice/core/shard"
)

// Queues are what people work through here: offers in review, claimed or not.
var Queues = []string{"offer_review"}

const countReviews = "SELECT 'offer_review', COUNT(*), COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, submitted_at, NOW(3))), 0) FROM " +
	"(SELECT submitted_at FROM offers__ WHERE stage = 'in_review' ORDER BY submitted_at LIMIT 100000) AS w"

// Backlog tells what waits for a review, up to 100,000 offers per place.
func (o *Offers) Backlog(ctx context.Context) (map[string]queue.Waiting, error) {
	return queue.Read(ctx, o.databases.All(shard.Values), countReviews)
}
