package audit

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/core/ids"
	"sluice/core/shard"
)

func TestChainsAreNamed(t *testing.T) {
	t.Parallel()
	f := func(s shard.Shard, name string) {
		t.Helper()
		c := ChainOf(s)
		var read Chain
		err := read.UnmarshalText([]byte(name))
		if c.String() != name || c.Shard() != s || err != nil || read != c {
			t.Errorf("%v is %d, named %s, read as %d, %v; want %s", s, uint32(c), c, uint32(read), err, name)
		}
	}
	f(shard.Shard{Kind: shard.Users}, "users-0")
	f(shard.Shard{Kind: shard.Users, Number: 1023}, "users-1023")
	f(shard.OfProduct(1), "products-0")
	f(shard.Shard{Kind: shard.Values, Number: 5}, "values-5")
	f(shard.OfMonth(shard.MonthOf(ids.Epoch), 1), fmt.Sprintf("checkouts-2024-01-%d", ids.GeneOf(1)))
	f(shard.Shard{Kind: shard.Checkouts, Month: shard.MonthOf(ids.Latest), Number: 1023}, "checkouts-"+shard.MonthOf(ids.Latest).String()+"-1023")
	for _, name := range []string{
		"", "users", "users-", "users-01", "users--1", "users-1024", "users- 1", "Users-1", "orders-1", "checkouts-1", "checkouts-2024-01", "checkouts-2024-01-",
		"checkouts-2024-13-1", "checkouts-2023-12-1", "users-2024-01-1", "chain-5", "users-1\n",
	} {
		var c Chain
		if err := c.UnmarshalText([]byte(name)); err == nil {
			t.Errorf("%q is read as %d", name, uint32(c))
		}
	}
}

// TestHashForm holds the hashes of a log to what they are: another form would make every log look forged.
func TestHashForm(t *testing.T) {
	t.Parallel()
	e := entry()
	const first, second = "20086b5ae9134b58459c1a9adcc53eae848eb020bc20c7564221d62146f9f84c", "debf47736b2b291fdda7bddcd00abd72012b3127033db3b581479e5dfa2d786e"
	one := e.follow(Hash{})
	text, _ := one.MarshalText()
	if string(text) != first {
		t.Errorf("the first entry has %s, want %s", text, first)
	}
	e.N++
	two := e.follow(one)
	if text, _ = two.MarshalText(); string(text) != second {
		t.Errorf("the second entry has %s, want %s", text, second)
	}
}

func entry() Entry {
	return Entry{
		Chain: ChainOf(shard.OfUser(42)), N: 1, At: time.Date(2026, 11, 28, 10, 0, 0, 5e6, time.UTC), Actor: "admin:1", Act: "user.make", Object: "user:42",
		Origin: "192.0.2.1 9f3c1a2b000000000000002a", Why: "Grüße", Changes: []byte(`[{"name":"region","after":"eu"}]`),
	}
}

// TestHashesTellEntriesApart: whatever moves from one part of an entry to another, its hash is another one.
func TestHashesTellEntriesApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[ab:]{0,3}`)
		draw := func(name string) Entry {
			return Entry{
				Chain: Chain(rapid.IntRange(0, 2).Draw(t, name)), N: rapid.Uint64Range(1, 2).Draw(t, name), At: time.UnixMilli(rapid.Int64Range(0, 1).Draw(t, name)),
				Actor: part.Draw(t, name), Act: part.Draw(t, name), Object: part.Draw(t, name), Origin: part.Draw(t, name), Why: part.Draw(t, name),
				Ref: part.Draw(t, name), Changes: []byte(part.Draw(t, name)),
			}
		}
		a, b := draw("a"), draw("b")
		before := Hash{byte(rapid.IntRange(0, 1).Draw(t, "before"))}
		same := fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
		if (a.follow(before) == b.follow(before)) != same || a.follow(before) == a.follow(Hash{9}) {
			t.Fatalf("%+v and %+v", a, b)
		}
	})
}

// TestActsHaveAForm: what a program describes badly is no act, and nothing is written.
func TestActsHaveAForm(t *testing.T) {
	t.Parallel()
	good := Act{Author: Author{"admin:1", "::1"}, Act: "user.make", Object: "user:42", Why: "a reason", Ref: "stock:1"}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Act){
		"no actor": func(a *Act) { a.Actor = "" }, "an actor in words": func(a *Act) { a.Actor = "the boss" }, "an actor by name": func(a *Act) { a.Actor = "Müller" },
		"no act": func(a *Act) { a.Act = "" }, "an act of one word": func(a *Act) { a.Act = "make" }, "an act in capitals": func(a *Act) { a.Act = "User.Make" },
		"no object": func(a *Act) { a.Object = "" }, "an object with a line": func(a *Act) { a.Object = "user:4\n2" },
		"a reason in two lines": func(a *Act) { a.Why = "a\nb" }, "a long reason": func(a *Act) { a.Why = string(make([]byte, WhyMax+1)) },
		"a long origin": func(a *Act) { a.Origin = string(make([]byte, 101)) }, "a ref with a line": func(a *Act) { a.Ref = "\n" },
	} {
		a := good
		edit(&a)
		if err := a.check(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
