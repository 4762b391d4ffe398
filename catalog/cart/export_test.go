package cart

import (
	"context"

	"sluice/core/ids"
)

// The steps of a merge, so that tests can end between them.
type Taken = taken

func (c *Carts) Take(ctx context.Context, token GuestToken, user ids.User) (Taken, error) {
	g, err := c.open(token)
	if err != nil {
		return Taken{}, err
	}
	return c.take(ctx, g, user)
}

func (c *Carts) Join(ctx context.Context, t Taken) error { return c.join(ctx, c.OfUser(t.user), t) }

func (c *Carts) Finish(ctx context.Context, t Taken) error {
	_, _, err := c.finish(ctx, t)
	return err
}

var (
	Encode = encode
	Decode = decode
)
