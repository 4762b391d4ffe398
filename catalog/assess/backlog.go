package assess

import (
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/queue"
)

// Queues are what people work through here: the cases of a moment and an answer.
var Queues = []string{"sign_up_hold", "sign_up_challenge", "application_hold", "application_challenge"}

const countReviews = "SELECT CONCAT(moment, '_', answer), COUNT(*), MAX(TIMESTAMPDIFF(MICROSECOND, made_at, NOW(3))) FROM " +
	"(SELECT moment, answer, made_at FROM assess_answers__ WHERE review = 'waiting' ORDER BY made_at LIMIT 100000) AS w GROUP BY moment, answer"

// Backlog tells what waits for a person, up to 100,000 cases per place.
func (a *Assessments) Backlog(ctx context.Context) (map[string]queue.Waiting, error) {
	return queue.Read(ctx, audit.Places(a.cfg.Databases), countReviews)
}
