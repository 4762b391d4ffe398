package cart

import (
	"context"
	"errors"
	"time"

	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/work"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

const (
	deleteCart   = "DELETE FROM carts__ WHERE user_id = ? LIMIT ?"
	deleteMerges = "DELETE FROM cart_merges__ WHERE user_id = ? LIMIT ?"
	deleteShares = "DELETE FROM cart_shares__ WHERE user_id = ? LIMIT ?"
	deleteTaken  = "DELETE FROM cart_guests__ WHERE user_id = ? LIMIT ?"

	endGuests = "DELETE FROM cart_guests__ WHERE ends_at <= NOW(3) ORDER BY ends_at LIMIT ?"
	endMerges = "DELETE FROM cart_merges__ WHERE ends_at <= NOW(3) ORDER BY ends_at LIMIT ?"
	endShares = "DELETE FROM cart_shares__ WHERE ends_at <= NOW(3) ORDER BY ends_at LIMIT ?"
)

// taskPause is how long the task of a merge waits for the process that began the merge.
const taskPause = 10 * time.Second

// Work is what the package does besides answering.
func (c *Carts) Work() work.Owner {
	return work.Owner{
		Name: owner, Kind: shard.Users, TasksOnly: true,
		Tasks: map[string]task.Handler{taskMerge: c.endMerge},
		Times: []work.Time{{Item: schedule.Item{Name: "end_carts", Every: time.Hour, At: 17 * time.Minute}, Everywhere: true, Do: c.end}},
	}
}

// end deletes what has ended in a place: carts of guests, what was noted of merges, shares and kept answers.
func (c *Carts) end(ctx context.Context, t task.Task) error {
	err := inParts(ctx, t.Place, "end carts", nil, endGuests, endMerges, endShares)
	_, kept := replay.Of(owner, t.Place.Suffix).Clean(ctx, t.Place.Writer())
	return errors.Join(err, kept)
}

// Forget deletes the cart of an erased user, its shares, and the carts of guests that became part of it. These go first: a merge that begins
// later finds nothing, and so it makes no cart of the user again. It may be done again.
func (c *Carts) Forget(ctx context.Context, user ids.User) error {
	var faults []error
	for _, at := range c.databases.All(shard.Users) { // a place that is away keeps back its own only
		faults = append(faults, inParts(ctx, at, "forget carts of guests", []any{user}, deleteTaken))
	}
	at := c.databases.At(shard.OfUser(int64(user)))
	_, err := replay.Of(owner, at.Suffix).Forget(ctx, at.Writer(), int64(user))
	faults = append(faults, err, inParts(ctx, at, "forget a cart", []any{user}, deleteCart, deleteMerges, deleteShares))
	return errors.Join(faults...)
}

// inParts executes statements about a bounded number of rows until there are none left.
func inParts(ctx context.Context, at place.Place, what string, values []any, statements ...string) error {
	for _, statement := range statements {
		if _, err := db.InParts(ctx, at.In(at.Writer()), what, statement, values...); err != nil {
			return err
		}
	}
	return nil
}
