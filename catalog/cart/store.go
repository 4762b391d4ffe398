package cart

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	selectCart = "SELECT version, content, 0 FROM carts__ WHERE user_id = ?"
	insertCart = "INSERT INTO carts__ (version, content, changed_at, user_id) VALUES (?, ?, NOW(3), ?)"
	updateCart = "UPDATE carts__ SET version = ?, content = ?, changed_at = NOW(3) WHERE user_id = ? AND version = ?"

	selectGuest = "SELECT version, content, COALESCE(user_id, 0) FROM cart_guests__ WHERE guest = ?"
	insertGuest = "INSERT INTO cart_guests__ (version, content, ends_at, guest) VALUES (?, ?, NOW(3) + INTERVAL 30 DAY, ?)"
	updateGuest = "UPDATE cart_guests__ SET version = ?, content = ?, ends_at = NOW(3) + INTERVAL 30 DAY WHERE guest = ? AND version = ? AND user_id IS NULL"
)

// changesMax is how often a change is made anew because others changed the cart in between.
const changesMax = 10

// Config has what carts call.
type Config struct {
	Databases *place.Databases // the caller closes them
	Prover    Prover
	Products  Products
	Prices    Prices // nil: carts show no price
	Stock     Stock  // nil: carts show no hint
	Now       func() time.Time
	Log       *slog.Logger
}

// Carts has the carts. It is safe for concurrent use.
type Carts struct {
	databases *place.Databases
	prover    Prover
	products  Products
	prices    Prices
	stock     Stock
	now       func() time.Time
	log       *slog.Logger
}

// New makes the carts.
func New(cfg Config) *Carts {
	return &Carts{
		databases: cfg.Databases, prover: cfg.Prover, products: cfg.Products, prices: cfg.Prices, stock: cfg.Stock, now: cfg.Now, log: cfg.Log,
	}
}

// Holder is whose cart it is.
type Holder struct {
	user ids.User // 0: a guest
	at   place.Place
	key  any

	read, insert, update string
}

// OfUser is a user as a holder.
func (c *Carts) OfUser(user ids.User) Holder {
	return Holder{user, c.databases.At(shard.OfUser(int64(user))), user, selectCart, insertCart, updateCart}
}

// OfGuest is who has a token.
func (c *Carts) OfGuest(token GuestToken) (Holder, error) {
	g, err := c.open(token)
	if err != nil {
		return Holder{}, err
	}
	return c.ofGuest(g), nil
}

func (c *Carts) ofGuest(g guest) Holder {
	return Holder{0, c.databases.At(g.shard()), g[:], selectGuest, insertGuest, updateGuest}
}

// Read reads a cart.
func (c *Carts) Read(ctx context.Context, of Holder) (Cart, error) {
	return read(ctx, of, of.at.In(of.at.Writer()), "")
}

// read reads a cart, and locks it with a suffix that says so.
func read(ctx context.Context, of Holder, in place.Conn, lock string) (Cart, error) {
	var was Cart
	var content []byte
	var taken int64
	err := in.QueryRowContext(ctx, of.read+lock, of.key).Scan(&was.Version, &content, &taken)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Cart{Version: 1}, nil
	case err != nil:
		return Cart{}, readError(of.at, "carts", err)
	case taken != 0:
		return Cart{}, errMerged
	}
	if was.Lines, err = decode(content); err != nil {
		return Cart{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return was, nil
}

// write makes a cart another one, and reports whether it was still the one of the version before.
func write(ctx context.Context, of Holder, in place.Conn, to Cart) (done bool, err error) {
	content, err := encode(to.Lines)
	if err != nil {
		return false, err
	}
	if to.Version == 2 {
		_, err = in.ExecContext(ctx, of.insert, to.Version, content, of.key)
		if db.Answer(err) == db.AnswerDuplicate {
			return false, nil
		}
		if err != nil {
			return false, db.WriteError("make a cart", err)
		}
		return true, nil
	}
	result, err := in.ExecContext(ctx, of.update, to.Version, content, of.key, to.Version-1)
	if err != nil {
		return false, db.WriteError("change a cart", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// change edits a cart as of now, or as of a version. An edit that changes nothing is done already, as of any version: it may be the
// repetition of a request whose answer was lost.
func (c *Carts) change(ctx context.Context, of Holder, from web.Version, edit func(Cart) (Cart, error)) (Cart, error) {
	in := of.at.In(of.at.Writer())
	for range changesMax {
		was, err := read(ctx, of, in, "")
		if err != nil {
			return Cart{}, err
		}
		to, err := edit(was)
		switch {
		case err != nil:
			return Cart{}, err
		case was.equal(to):
			return was, nil
		case from != 0 && int64(from) != was.Version:
			return Cart{}, web.ErrChanged
		}
		to.Version = was.Version + 1
		if done, err := write(ctx, of, in, to); done || err != nil {
			return to, err
		}
	}
	return Cart{}, errBusy
}

// Put sets the line of a SKU. A SKU that shoppers cannot buy is refused, unless the cart says so already.
func (c *Carts) Put(ctx context.Context, of Holder, from web.Version, l Line) (Cart, error) {
	if err := l.check(); err != nil {
		return Cart{}, err
	}
	asked := false
	return c.change(ctx, of, from, func(was Cart) (Cart, error) {
		if i := was.find(l.SKU); !asked && (i < 0 || !was.Lines[i].same(l)) {
			if err := c.know(ctx, of.user, &l); err != nil {
				return Cart{}, err
			}
			asked = true
		}
		return was.Put(l)
	})
}

// know completes a line that is new, and refuses what nobody sells.
func (c *Carts) know(ctx context.Context, user ids.User, l *Line) error {
	sold, err := c.products.Buyable(ctx, []int64{l.SKU})
	if err != nil {
		return err
	}
	if _, ok := sold[l.SKU]; !ok {
		return errUnknownSKU
	}
	l.At = c.now().UTC().Truncate(time.Millisecond)
	if c.prices == nil {
		return nil
	}
	prices, err := c.prices.Units(ctx, user, []int64{l.SKU})
	if price, ok := prices[l.SKU]; ok {
		l.Was = &price
	}
	return err
}

// Remove takes the line of a SKU out. If there is none, that is done already.
func (c *Carts) Remove(ctx context.Context, of Holder, from web.Version, sku int64) (Cart, error) {
	return c.change(ctx, of, from, func(was Cart) (Cart, error) { return was.Remove(sku), nil })
}

// Empty takes all lines out.
func (c *Carts) Empty(ctx context.Context, of Holder, from web.Version) (Cart, error) {
	return c.change(ctx, of, from, func(was Cart) (Cart, error) { return was.Empty(), nil })
}

// readError is the error of a reading.
func readError(at place.Place, table string, err error) error {
	return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("carts", table+at.Suffix, err))
}
