package cart_test

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/internal/web"
	"sluice/core/ids"
)

func versionOf(n int64) web.Version { return web.Version(n) }

func TestAGuestsCartIsMergedOnce(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	of := c.OfUser(7)
	c.put(of, 1, 1)
	token, guest := c.guest(2, 3)
	for range 3 {
		merged, left, err := c.Merge(t.Context(), 7, token)
		if err != nil || len(left) != 0 {
			t.Fatal(left, err)
		}
		same(t, "the merged cart", quantities(merged), map[int]int{1: 3, 2: 3})
		if merged.Version != 3 {
			t.Errorf("version %d", merged.Version)
		}
	}
	if _, err := c.Read(t.Context(), guest); codeOf(err) != "cart_merged" {
		t.Error(err)
	}
	if _, err := c.Remove(t.Context(), guest, 0, skuOf(1)); codeOf(err) != "cart_merged" {
		t.Error(err)
	}
	if _, _, err := c.Merge(t.Context(), 8, token); codeOf(err) != "cart_merged" {
		t.Error(err)
	}
	c.has(c.OfUser(8), nil)
	c.put(of, 1, 9)
	c.settle()
	if _, _, err := c.Merge(t.Context(), 7, token); err != nil {
		t.Error(err)
	}
	c.has(of, map[int]int{1: 9, 2: 3})

	empty := c.NewGuest()
	if merged, _, err := c.Merge(t.Context(), 7, empty); err != nil || merged.Version != 4 {
		t.Error(merged, err)
	}
	if _, _, err := c.Merge(t.Context(), 8, empty); err != nil { // nobody has it
		t.Error(err)
	}
}

func TestWhatFoundNoRoomIsToldAgain(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	of := c.OfUser(7)
	c.put(of, 200, 1)
	token, guest := c.guest(1, 1)
	for n := range 98 {
		c.put(guest, 300+n, 1)
	}
	for range 2 {
		merged, left, err := c.Merge(t.Context(), 7, token)
		if err != nil || len(merged.Lines) != 100 {
			t.Fatal(len(merged.Lines), err)
		}
		same(t, "left out", left, []int64{skuOf(1)})
	}
}

// TestAMergeThatEndsInBetweenIsEnded ends a process between the steps of a merge.
func TestAMergeThatEndsInBetweenIsEnded(t *testing.T) {
	t.Parallel()
	for _, steps := range []string{"taken over", "in the user's cart"} {
		for _, by := range []string{"a task", "a repetition", "both"} {
			t.Run(steps+", "+by, func(t *testing.T) {
				t.Parallel()
				c := newCarts(t)
				of := c.OfUser(7)
				c.put(of, 1, 1)
				token, _ := c.guest(2, 3)
				took, err := c.Take(t.Context(), token, 7)
				if err == nil && steps == "in the user's cart" {
					err = c.Join(t.Context(), took)
				}
				if err != nil {
					t.Fatal(err)
				}
				if by != "a repetition" {
					c.settle()
				}
				if by != "a task" {
					if _, _, err := c.process().Merge(t.Context(), 7, token); err != nil {
						t.Fatal(err)
					}
				}
				c.has(of, map[int]int{1: 3, 2: 3})
				c.put(of, 2, 1)
				if err := c.Finish(t.Context(), took); err != nil { // who began comes back after all
					t.Fatal(err)
				}
				c.settle()
				c.has(of, map[int]int{1: 3, 2: 1})
				if left := c.count("SELECT COUNT(*) FROM cart_guests__ WHERE content <> '[]'"); left != 0 {
					t.Errorf("%d carts of guests have lines", left)
				}
			})
		}
	}
}

// TestUsersMergeAtOnce has two users take over one cart, each from several processes, while the guest changes it.
func TestUsersMergeAtOnce(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	token, guest := c.guest(2, 3)
	users := []ids.User{7, 8}
	var at errgroup.Group
	for _, user := range users {
		for range 3 {
			process := c.process()
			at.Go(func() error {
				for {
					_, _, err := process.Merge(t.Context(), user, token)
					switch codeOf(err) {
					case "ok", "cart_merged":
						return nil
					case "cart_busy":
						continue
					}
					return err
				}
			})
		}
	}
	at.Go(func() error {
		for {
			if _, err := c.process().Remove(t.Context(), guest, 0, skuOf(2)); codeOf(err) != "cart_busy" {
				if codeOf(err) == "cart_merged" {
					return nil
				}
				return err
			}
		}
	})
	if err := at.Wait(); err != nil {
		t.Fatal(err)
	}
	units := 0
	for _, user := range users {
		got, err := c.Read(t.Context(), c.OfUser(user))
		if err != nil {
			t.Fatal(err)
		}
		units += quantities(got)[1]
	}
	if units != 2 {
		t.Errorf("%d units came out of a cart that had 2", units)
	}
}
