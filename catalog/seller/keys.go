package seller

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/apikey"
	"sluice/catalog/internal/task"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

// What the keys of sellers' systems may be for.
const (
	ScopeSeller  = "seller:read"  // what the seller applied with
	ScopeMembers = "members:read" // its people, and what they did

	// ScopeProducts is for what the seller sells. Package product has it.
	ScopeProducts = "products:read"

	// These are for what the seller has in warehouses. Package stock has it.
	ScopeStockRead  = "stock:read"
	ScopeStockWrite = "stock:write"

	// ScopeOffers is for its offers. Package offer has it.
	ScopeOffers = "offers:read"
)

const (
	actMakeKey   = "make_key"
	actRevokeKey = "revoke_key"

	templateKey = "api_key_made"
	keysShown   = 2 * apikey.PerHolderMax

	selectOwners = "SELECT user_id FROM seller_members__ WHERE seller_id = ? AND role = 'owner'"
	countActs    = "SELECT COUNT(*) FROM seller_acts__ WHERE seller_id = ? AND act = ? AND object = ?"
)

// taskKey is the kind of the tasks that write down, beside a seller, what was done with a key of it. It is never renamed.
const taskKey = "note_key"

var (
	unknownKey = problem.NewKind(problem.Kind{Code: "unknown_key", Status: http.StatusNotFound, Title: "The seller has no such API key."})

	errNoKey = &problem.Problem{Kind: unknownKey}
)

// KeyWish is a key that an owner wants for a system of a seller.
type KeyWish struct {
	Name   string
	Scopes []string
	Life   time.Duration
}

// MakeKey makes a key for a system of a seller of which the caller is an owner. A repetition returns the same one. Keys are in places of
// their own, so the owner is looked up before: who is removed at that moment may make one more, which is listed as all are.
func (s *Sellers) MakeKey(ctx context.Context, by Caller, id ids.Seller, wish KeyWish) (config.Secret, apikey.Key, error) {
	state, err := s.ownerOf(ctx, by.User, id)
	if err == nil {
		err = hires(state)
	}
	if err != nil {
		return "", apikey.Key{}, err
	}
	secret, key, err := s.keys.Derive(ctx, s.sealer.DrawKey(id, by.User, by.Key), int64(id), wish.Name, wish.Scopes, wish.Life, s.noted(ctx, by, id))
	switch {
	case errors.Is(err, apikey.ErrForm):
		err = malformed("", "%v", err)
	case errors.Is(err, apikey.ErrTooMany):
		err = wrongState("%v", err)
	case errors.Is(err, apikey.ErrMade):
		err = &problem.Problem{Kind: problem.Mismatch}
	}
	return secret, key, err
}

// noted writes down what is done with a key: in the audit log at once, and beside the seller by a task.
func (s *Sellers) noted(ctx context.Context, by Caller, id ids.Seller) apikey.With {
	return func(tx *sql.Tx, p place.Place, prefix string, made bool) error {
		act := actRevokeKey
		if made {
			act = actMakeKey
		}
		err := s.acts.Append(ctx, p.In(tx), shard.OfValue(prefix), audit.Act{
			Author: by.Author, Act: "seller." + act, Object: "seller:" + id.String(), Changes: []audit.Change{{Name: "about", After: keyObject(prefix)}},
		})
		if err != nil {
			return err
		}
		return task.Of(owner, p.Suffix).Add(ctx, tx, taskKey, act+"-"+prefix, keyDeed{id, act, prefix, by.Actor, time.Now().UTC().Truncate(time.Millisecond)}, 0)
	}
}

// keyObject names a key in acts.
func keyObject(prefix string) string { return "key:" + prefix }

// keyDeed are the data of a task that writes down what was done with a key.
type keyDeed struct {
	Seller ids.Seller `json:"seller_id"`
	Act    string     `json:"act"`
	Prefix string     `json:"prefix"`
	Actor  string     `json:"actor"`
	At     time.Time  `json:"at"`
}

// keyEvent tells others of a key.
type keyEvent struct {
	Prefix string `json:"prefix"`
}

// noteKey is such a task. What is there already is not written again.
func (s *Sellers) noteKey(ctx context.Context, t task.Task) error {
	var of keyDeed
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	return s.write(ctx, of.Seller, Caller{Author: audit.Author{Actor: of.Actor}}, func(c *change) error {
		if _, err := c.lock(ctx, of.Seller); err != nil {
			return err
		}
		d := deed{act: of.Act, object: keyObject(of.Prefix), at: of.At}
		var there int
		switch err := c.in.QueryRowContext(ctx, countActs, of.Seller, d.act, d.object).Scan(&there); {
		case err != nil:
			return db.WriteError("look for an act", err)
		case there > 0:
			return nil
		}
		if err := c.writeDown(ctx, of.Seller, d); err != nil {
			return err
		}
		if of.Act != actMakeKey {
			return c.publish(ctx, of.Seller, eventKeyRevoked, keyEvent{of.Prefix})
		}
		if err := c.publish(ctx, of.Seller, eventKeyMade, keyEvent{of.Prefix}); err != nil {
			return err
		}
		owners, err := c.owners(ctx, of.Seller)
		for _, user := range owners {
			if err == nil {
				err = c.notify(ctx, of.Seller, user, templateKey)
			}
		}
		return err
	})
}

// owners are those of a locked seller.
func (c *change) owners(ctx context.Context, id ids.Seller) (all []ids.User, err error) {
	err = db.Rows(ctx, c.in, func(row *sql.Rows) error {
		var user ids.User
		err := row.Scan(&user)
		all = append(all, user)
		return err
	}, selectOwners, id)
	if err != nil {
		return nil, db.WriteError("list owners", err)
	}
	return all, nil
}

// Keys lists the keys of a seller, for its owners: those that are good, and some that have ended.
func (s *Sellers) Keys(ctx context.Context, user ids.User, id ids.Seller) ([]apikey.Key, error) {
	if _, err := s.ownerOf(ctx, user, id); err != nil {
		return nil, err
	}
	return s.keys.List(ctx, int64(id), keysShown)
}

// RevokeKey ends a key of a seller of which the caller is an owner. One that was revoked before is a success.
func (s *Sellers) RevokeKey(ctx context.Context, by Caller, id ids.Seller, prefix string) error {
	if _, err := s.ownerOf(ctx, by.User, id); err != nil {
		return err
	}
	err := s.keys.Revoke(ctx, int64(id), prefix, s.noted(ctx, by, id))
	if errors.Is(err, apikey.ErrUnknown) {
		return errNoKey
	}
	return err
}

// VerifyKey returns the key that a text is, if it is a good one of a seller. It is for web.Config.
func (s *Sellers) VerifyKey(ctx context.Context, text string) (apikey.Key, error) {
	return s.keys.Verify(ctx, text)
}
