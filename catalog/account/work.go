package account

import (
	"context"
	"database/sql"
	"strconv"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/work"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/sessions"
	"sluice/core/shard"
)

const (
	owner = "account"
	// topic has the events of users. Their aggregate is the user.
	topic = sessions.Topic
)

// Work is what the package does besides answering.
func (a *Accounts) Work() work.Owner {
	return work.Owner{Name: owner, Kind: shard.Users, Topics: []string{topic}, Tasks: map[string]task.Handler{taskForget: a.forget}}
}

// event is what others are told of a user. It has nothing personal.
type event struct {
	State State `json:"state"`
}

// tell writes an event of a user into the transaction of its effect.
func tell(ctx context.Context, p place.Place, tx *sql.Tx, user ids.User, kind string, what any) error {
	_, err := outbox.Of(owner, p.Suffix).Append(ctx, tx, topic, strconv.FormatInt(int64(user), 10), kind, what)
	return err
}
