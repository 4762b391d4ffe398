package cart

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/replay"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/stock"
)

const (
	countShares  = "SELECT COUNT(*) FROM cart_shares__ WHERE user_id = ? AND ends_at > NOW(3)"
	insertShare  = "INSERT INTO cart_shares__ (share, user_id, content, made_at, ends_at) VALUES (?, ?, ?, NOW(3), NOW(3) + INTERVAL ? DAY)"
	selectEnd    = "SELECT made_at, ends_at FROM cart_shares__ WHERE share = ?"
	selectShares = "SELECT share, made_at, ends_at FROM cart_shares__ WHERE user_id = ? AND ends_at > NOW(3) ORDER BY made_at DESC, share LIMIT ?"
	selectShare  = "SELECT content, ends_at FROM cart_shares__ WHERE share = ? AND ends_at > NOW(3)"
	deleteShare  = "DELETE FROM cart_shares__ WHERE share = ? AND user_id = ?"
)

// Bounds of shares.
const (
	SharesMax   = 20 // of a user, at a time
	ShareDays   = 7  // if nobody says
	ShareDayMax = 30
)

// Share is a snapshot of a cart, for whoever has its link.
type Share struct {
	Token  ShareToken
	MadeAt time.Time
	EndsAt time.Time
}

// keptShare is what is kept of the answer to a request that makes a share: the token follows.
type keptShare struct {
	ID     shareID   `json:"id"`
	MadeAt time.Time `json:"made_at"`
	EndsAt time.Time `json:"ends_at"`
}

// Share shows what is in a user's cart in this moment, and not saved for later, to whoever gets the link. The same key makes one share.
func (c *Carts) Share(ctx context.Context, user ids.User, key string, days int) (Share, error) {
	if days < 1 || days > ShareDayMax {
		return Share{}, malformed("/days", "want 1 to %d", ShareDayMax)
	}
	of := c.OfUser(user)
	asked := replay.Request{User: int64(user), Route: "share_cart", Key: key, Fingerprint: replay.Fingerprint([]byte{byte(days)})}
	var made keptShare
	_, err := of.at.Write(ctx, "a share", func(tx *sql.Tx) error {
		answer, _, err := replay.Of(owner, of.at.Suffix).Do(ctx, tx, asked, func() (replay.Answer, error) {
			now, err := share(ctx, of, tx, days)
			if err != nil {
				return replay.Answer{}, err
			}
			body, err := json.Marshal(now)
			return replay.Answer{Status: 201, Body: body}, err
		})
		if err == nil {
			err = json.Unmarshal(answer.Body, &made)
		}
		return err
	})
	return Share{c.link(made.ID), made.MadeAt, made.EndsAt}, err
}

func share(ctx context.Context, of Holder, tx *sql.Tx, days int) (keptShare, error) {
	in := of.at.In(tx)
	was, err := read(ctx, of, in, " FOR UPDATE") // one at a time makes a share
	if err != nil {
		return keptShare{}, err
	}
	shown := make([]Line, 0, len(was.Lines))
	for _, l := range was.Lines {
		if !l.Later {
			shown = append(shown, Line{SKU: l.SKU, Quantity: l.Quantity, At: time.UnixMilli(0)})
		}
	}
	if len(shown) == 0 {
		return keptShare{}, errNothing
	}
	var n int
	if err := in.QueryRowContext(ctx, countShares, of.user).Scan(&n); err != nil {
		return keptShare{}, readError(of.at, "cart_shares", err)
	}
	if n >= SharesMax {
		return keptShare{}, errTooMany("a user shares at most %d carts at a time", SharesMax)
	}
	content, err := encode(shown)
	if err != nil {
		return keptShare{}, err
	}
	made := keptShare{ID: newShare(of.user)}
	if _, err := in.ExecContext(ctx, insertShare, made.ID[:], of.user, content, days); err != nil {
		return keptShare{}, db.WriteError("share a cart", err)
	}
	if err := in.QueryRowContext(ctx, selectEnd, made.ID[:]).Scan(&made.MadeAt, &made.EndsAt); err != nil {
		return keptShare{}, readError(of.at, "cart_shares", err)
	}
	return made, nil
}

// Shares lists what a user shares, the newest first.
func (c *Carts) Shares(ctx context.Context, user ids.User) (all []Share, err error) {
	of := c.OfUser(user)
	err = db.Rows(ctx, of.at.In(of.at.Writer()), func(row *sql.Rows) error {
		var one Share
		var id []byte
		err := row.Scan(&id, &one.MadeAt, &one.EndsAt)
		var of shareID
		copy(of[:], id)
		one.Token = c.link(of)
		all = append(all, one)
		return err
	}, selectShares, user, SharesMax)
	if err != nil {
		return nil, readError(of.at, "cart_shares", err)
	}
	return all, nil
}

// EndShare takes a link back. Of what has ended, and of what others share, it says that there is no such share.
func (c *Carts) EndShare(ctx context.Context, user ids.User, token ShareToken) error {
	id, err := c.shared(token)
	if err != nil {
		return err
	}
	of := c.OfUser(user)
	result, err := of.at.In(of.at.Writer()).ExecContext(ctx, deleteShare, id[:], user)
	if err != nil {
		return db.WriteError("end a share", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errUnknownShare)
	}
	return nil
}

// Shared reads what somebody shares.
func (c *Carts) Shared(ctx context.Context, token ShareToken) (lines []Line, ends time.Time, err error) {
	id, err := c.shared(token)
	if err != nil {
		return nil, time.Time{}, err
	}
	at := c.databases.At(id.shard())
	var content []byte
	err = at.In(at.Writer()).QueryRowContext(ctx, selectShare, id[:]).Scan(&content, &ends)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, time.Time{}, errUnknownShare
	case err != nil:
		return nil, time.Time{}, readError(at, "cart_shares", err)
	}
	if lines, err = decode(content); err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return lines, ends, nil
}
