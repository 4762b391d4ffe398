package seller

import (
	"context"

	"sluice/catalog/internal/queue"
	"sluice/core/shard"
)

// Queues are what people work through here: applications, claimed or not, that nothing holds.
var Queues = []string{"seller_review"}

const countReviews = "SELECT 'seller_review', COUNT(*), COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, applied_at, NOW(3))), 0) FROM " +
	"(SELECT s.applied_at FROM sellers__ AS s WHERE s.state IN ('applied', 'in_review') " +
	"AND NOT EXISTS (SELECT 1 FROM seller_holds__ AS h WHERE h.seller_id = s.seller_id) LIMIT 100000) AS w"

// Backlog tells what waits for a review, up to 100,000 applications per place.
func (s *Sellers) Backlog(ctx context.Context) (map[string]queue.Waiting, error) {
	return queue.Read(ctx, s.databases.All(shard.Values), countReviews)
}
