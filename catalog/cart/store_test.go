package cart_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/cart"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/shard"
	"sluice/core/stock"
)

func TestACartIsChanged(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	_, guest := c.guest()
	for name, of := range map[string]cart.Holder{"user": c.OfUser(7), "guest": guest} {
		if got := c.has(of, nil); got.Version != 1 {
			t.Errorf("%s: a new cart has version %d", name, got.Version)
		}
		if to, err := c.Remove(t.Context(), of, 0, skuOf(1)); err != nil || to.Version != 1 {
			t.Errorf("%s: nothing is removed: %v, %v", name, to, err)
		}
		c.put(of, 1, 2)
		c.put(of, 2, 3)
		if to := c.put(of, 2, 3); to.Version != 3 {
			t.Errorf("%s: a repetition makes version %d", name, to.Version)
		}
		put := func(version int64, quantity int) error {
			_, err := c.Put(t.Context(), of, versionOf(version), cart.Line{SKU: skuOf(1), Quantity: quantity})
			return err
		}
		if err := put(2, 9); codeOf(err) != "changed_since" {
			t.Errorf("%s: as of an old version: %v", name, err)
		}
		if err := put(3, 9); err != nil {
			t.Errorf("%s: as of its version: %v", name, err)
		}
		if err := put(3, 9); err != nil { // its answer was lost
			t.Errorf("%s: again as of its version: %v", name, err)
		}
		c.has(of, map[int]int{1: 9, 2: 3})
		if _, err := c.Remove(t.Context(), of, 3, skuOf(2)); codeOf(err) != "changed_since" {
			t.Errorf("%s: a removal as of an old version: %v", name, err)
		}
		if to, err := c.Remove(t.Context(), of, 4, skuOf(2)); err != nil || to.Version != 5 {
			t.Errorf("%s: a removal: %v, %v", name, to, err)
		}
		if to, err := c.Empty(t.Context(), of, 0); err != nil || len(to.Lines) != 0 || to.Version != 6 {
			t.Errorf("%s: emptied: %v, %v", name, to, err)
		}
		if to := c.put(of, 1, 1); to.Version != 7 {
			t.Errorf("%s: after that it is version %d", name, to.Version)
		}
	}
}

func TestWhatNobodySellsIsRefused(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	of := c.OfUser(7)
	c.others.set(func() { c.others.gone[skuOf(2)] = true })
	if _, err := c.Put(t.Context(), of, 0, cart.Line{SKU: skuOf(2), Quantity: 1}); codeOf(err) != "unknown_sku" {
		t.Error(err)
	}
	c.put(of, 1, 2)
	c.others.set(func() { c.others.gone[skuOf(1)] = true })
	if to := c.put(of, 1, 2); to.Version != 2 { // the repetition of what was done while somebody sold it
		t.Errorf("version %d", to.Version)
	}
	if _, err := c.Put(t.Context(), of, 0, cart.Line{SKU: skuOf(1), Quantity: 3}); codeOf(err) != "unknown_sku" {
		t.Error(err)
	}
	if _, err := c.Remove(t.Context(), of, 0, skuOf(1)); err != nil {
		t.Error(err)
	}
}

// TestProcessesChangeACartAtOnce has each of them set a line of its own, and no change is lost.
func TestProcessesChangeACartAtOnce(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	of := c.OfUser(7)
	const clients, changes = 4, 10
	var busy atomic.Int64
	var at errgroup.Group
	for client := range clients {
		process := c.process()
		at.Go(func() error {
			for quantity := 1; quantity <= changes; quantity++ {
				for {
					_, err := process.Put(t.Context(), of, 0, cart.Line{SKU: skuOf(client), Quantity: quantity})
					if codeOf(err) == "cart_busy" {
						busy.Add(1)
						continue
					}
					if err != nil {
						return err
					}
					break
				}
			}
			return nil
		})
	}
	if err := at.Wait(); err != nil {
		t.Fatal(err)
	}
	got := c.has(of, map[int]int{0: changes, 1: changes, 2: changes, 3: changes})
	if got.Version != 1+clients*changes {
		t.Errorf("version %d after %d changes, %d of them busy for a while", got.Version, clients*changes, busy.Load())
	}
}

func TestOnlyDrawnTokensOpen(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	c.put(c.OfUser(7), 1, 1)
	made, err := c.Share(t.Context(), 7, "k", 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		token, unknown string
		open           func(string) error
	}{
		{string(c.NewGuest()), "unknown_cart", func(token string) error { _, err := c.OfGuest(cart.GuestToken(token)); return err }},
		{string(made.Token), "unknown_share", func(token string) error { _, _, err := c.Shared(t.Context(), cart.ShareToken(token)); return err }},
	} {
		f := func(token, want string) {
			t.Helper()
			if err := of.open(token); codeOf(err) != want {
				t.Errorf("%q: %v, want %s", token, err, want)
			}
		}
		f(of.token, "ok")
		f("", "malformed")
		f(of.token[1:], "malformed")
		f(of.token+"A", "malformed")
		f("\n"+of.token[1:], "malformed")
		f(strings.Repeat("A", len(of.token)), of.unknown)
		f(strings.Repeat("_", len(of.token)-1)+"8", of.unknown)
		for i := range of.token {
			other := byte('B')
			if of.token[i] == other {
				other = 'C'
			}
			if changed := of.token[:i] + string(other) + of.token[i+1:]; of.open(changed) == nil {
				t.Errorf("%q opens what %q is for", changed, of.token)
			}
		}
	}
	if one, other := c.NewGuest(), c.NewGuest(); one == other {
		t.Error("a token is drawn twice")
	}
}

func TestErasedUsersHaveNoCart(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	for _, user := range []ids.User{7, 8} {
		c.put(c.OfUser(user), 1, 1)
		token, _ := c.guest(5, 6)
		if _, _, err := c.Merge(t.Context(), user, token); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Share(t.Context(), user, "k", 7); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := c.Forget(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"carts__", "cart_guests__", "cart_merges__", "cart_shares__", "cart_replays__"} {
		erased, kept := c.count("SELECT COUNT(*) FROM "+table+" WHERE user_id = 7"), c.count("SELECT COUNT(*) FROM "+table+" WHERE user_id = 8")
		if erased != 0 || kept != 1 {
			t.Errorf("%s: %d rows of the erased user, and %d of another one", table, erased, kept)
		}
	}
	c.settle() // the task of the merge finds nothing
	c.has(c.OfUser(7), nil)
}

// TestAnErasedUsersCartStaysAway: the carts of guests that go into an erased user's cart are away before that cart is, so no merge makes it again.
func TestAnErasedUsersCartStaysAway(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.put(c.OfUser(7), 1, 1)
	token, _ := c.guest(2, 3)
	if _, err := c.Take(ctx, token, 7); err != nil {
		t.Fatal(err)
	}
	at := c.databases.At(shard.OfUser(7))
	tx, err := at.Writer().BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var forgetting errgroup.Group
	defer func() {
		_ = tx.Rollback()
		_ = forgetting.Wait()
	}()
	if _, err := at.In(tx).ExecContext(ctx, "SELECT 1 FROM carts__ WHERE user_id = 7 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	forgetting.Go(func() error { return c.Forget(ctx, 7) })
	if err := lifecycle.Poll(ctx, 10*time.Millisecond, func() error {
		if left := c.count("SELECT COUNT(*) FROM cart_guests__"); left > 0 {
			return errors.New("the cart of the guest is there while the user's is deleted")
		}
		return nil
	}, func(error) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Rollback(), forgetting.Wait()); err != nil {
		t.Fatal(err)
	}
	c.settle()
	c.has(c.OfUser(7), nil)
}

func TestWhatHasEndedIsRemoved(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	_, old := c.guest(1)
	_, young := c.guest(2)
	c.put(c.OfUser(7), 1, 1)
	c.everywhere("UPDATE cart_guests__ SET ends_at = NOW(3) - INTERVAL 1 SECOND")
	c.put(young, 1, 3) // a change makes it live on
	ended, err := c.Share(t.Context(), 7, "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	c.everywhere("UPDATE cart_shares__ SET ends_at = NOW(3) - INTERVAL 1 SECOND")
	lasting, err := c.Share(t.Context(), 7, "b", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Shared(t.Context(), ended.Token); codeOf(err) != "unknown_share" { // before anybody removes it
		t.Error(err)
	}
	c.sweep()
	c.has(old, nil)
	c.has(young, map[int]int{1: 3})
	if n := c.count("SELECT COUNT(*) FROM cart_guests__") + c.count("SELECT COUNT(*) FROM cart_shares__"); n != 2 {
		t.Errorf("%d carts and shares are left", n)
	}
	if _, ends, err := c.Shared(t.Context(), lasting.Token); err != nil || ends.Sub(lasting.MadeAt) != 24*time.Hour {
		t.Error(ends, err)
	}
}

// TestACartWithoutItsDatabase tells a client that nothing was done.
func TestACartWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	of := c.OfUser(7)
	c.everywhere("RENAME TABLE carts__ TO elsewhere__")
	if _, err := c.Put(t.Context(), of, 0, cart.Line{SKU: skuOf(1), Quantity: 1}); !errors.Is(err, stock.ErrNotApplied) {
		t.Error(err)
	}
}
