package notify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/core/problem"
)

// capped reports whether a refusal is that of a cap, and after how many seconds to try again.
func capped(t *testing.T, err error) (refused bool, after int64) {
	t.Helper()
	var p *problem.Problem
	switch {
	case err == nil:
		return false, 0
	case errors.As(err, &p) && p.Kind == tooMany:
		return true, p.Wait()
	}
	t.Fatal(err)
	return false, 0
}

// Of many who ask at once, through several processes, as many are heard as the cap says.
func TestCapsAreExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Caps = Caps{PerRecipient: 5, PerAddress: 1000, PerCountry: 1000, PerDay: 1000} })
	var heard atomic.Int64
	var group errgroup.Group
	for i := range 40 {
		group.Go(func() error {
			err := w.Allow(t.Context(), Ask{SMS, "+4915100077777", netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), false})
			if refused, after := capped(t, err); !refused {
				heard.Add(1)
			} else if after < 3590 || after > 3600 {
				t.Errorf("try again after %d s", after)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if heard.Load() != 5 {
		t.Errorf("%d were heard, want 5", heard.Load())
	}
	// Who was refused took nothing from the others: the recipient, five addresses, the country, and the day.
	if n := w.count("SELECT COUNT(*) * 100 + MAX(count) FROM notify_counts"); n != 805 {
		t.Errorf("rows * 100 + the highest count are %d", n)
	}
	w.hasMetric(`sluice_catalog_notify_capped_messages_total{kind="recipient"} 35`)
	w.hasNoCanary()
}

func TestCaps(t *testing.T) {
	t.Parallel()
	from := netip.MustParseAddr("2001:db8::1")
	for name, c := range map[string]struct {
		caps   Caps
		first  Ask
		same   []Ask // count as the first one
		others []Ask
		within int64 // seconds
	}{
		"recipient": {
			Caps{PerRecipient: 1},
			Ask{Email, "Ann.B@Example.com", from, false},
			[]Ask{{Email, "annb+shop@example.com", netip.Addr{}, false}, {Email, "a.n.n.b@EXAMPLE.COM", from, false}},
			[]Ask{{Email, "annc@example.com", from, false}, {Email, "annb@example.org", from, false}, {Email, "ann.b@example.com", from, true}},
			3600,
		},
		"address": {
			Caps{PerAddress: 1},
			Ask{Email, "a@example.com", from, false},
			[]Ask{{Email, "b@example.com", netip.MustParseAddr("2001:db8::ffff:1"), false}, {SMS, "+4915100077777", from, false}},
			[]Ask{{Email, "c@example.com", netip.MustParseAddr("2001:db8:0:1::1"), false}, {Email, "d@example.com", netip.MustParseAddr("192.0.2.1"), false}},
			3600,
		},
		"country": {
			Caps{PerCountry: 1},
			Ask{SMS, "+4915100077777", from, false},
			[]Ask{{SMS, "+49301234567", netip.Addr{}, false}},
			[]Ask{{SMS, "+8613800138000", from, false}, {SMS, "+12125550123", from, false}, {SMS, "+14165550123", from, false}, {Email, "a@example.com", from, false}},
			86400,
		},
		"day": {
			Caps{PerDay: 2},
			Ask{SMS, "+4915100077777", from, false},
			[]Ask{{Email, "a@example.com", netip.Addr{}, false}, {SMS, "+8613800138000", from, false}},
			nil,
			86400,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *Options) { o.Caps = c.caps })
			allow := func(a Ask, want bool) {
				t.Helper()
				refused, after := capped(t, w.Allow(t.Context(), a))
				if refused == want {
					t.Errorf("%s %s: refused %v", a.Channel, a.To, refused)
				}
				if refused && (after < c.within-10 || after > c.within) {
					t.Errorf("%s %s: try again after %d s, want about %d", a.Channel, a.To, after, c.within)
				}
			}
			allow(c.first, true)
			if name == "day" {
				allow(c.first, true)
			}
			for _, a := range c.same {
				allow(a, false)
			}
			for _, a := range c.others {
				allow(a, true)
			}
			w.hasMetric(fmt.Sprintf(`sluice_catalog_notify_capped_messages_total{kind=%q} %d`, name, len(c.same)))
			w.exec("UPDATE notify_counts SET ends_at = NOW(3)")
			allow(c.first, true) // the count begins anew
			if n := w.count("SELECT MAX(count) FROM notify_counts WHERE ends_at > NOW(3)"); n != 1 {
				t.Errorf("it begins with %d", n)
			}
		})
	}
}

// Without caps nothing is counted, and what is no recipient is a bug.
func TestNoCaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		if err := w.Allow(t.Context(), Ask{Channel: Email, To: "canary@example.com"}); err != nil {
			t.Error(err)
		}
	}
	if n := w.count("SELECT COUNT(*) FROM notify_counts"); n != 0 {
		t.Errorf("%d counts", n)
	}
	var p *problem.Problem
	if err := w.Allow(t.Context(), Ask{Channel: SMS, To: "canary"}); err == nil || errors.As(err, &p) {
		t.Error(err)
	} else {
		w.hasNoCanary(err.Error())
	}
	w.o.Caps.PerDay = 1
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cancel()
	if err := w.Allow(ctx, Ask{Channel: Email, To: "canary@example.com"}); err == nil || errors.As(err, &p) {
		t.Error(err)
	}
}
