package redisstock_test

import (
	"strings"
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/stock/redisstock"
)

// TestExchangeNotices tells and hears with the rights of an edge, on a server and on a cluster that nobody has opened.
func TestExchangeNotices(t *testing.T) {
	t.Parallel()
	for name, addrs := range map[string][]string{"server": {servicetest.Redis(t).Addr}, "cluster": servicetest.RedisCluster(t).Addrs} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := userOf(t, "sluice_edge", "", addrs...)
			store, err := redisstock.New(client, redisstock.Config{Partitions: 4, CallTimeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			f := func(text, after string, limit int, want string) (told string) {
				t.Helper()
				told, heard, err := store.ExchangeNotices(t.Context(), []byte(text), after, limit)
				if err != nil {
					t.Fatal(err)
				}
				var said []string
				for _, n := range heard {
					said = append(said, string(n.Text))
				}
				if got := strings.Join(said, " "); got != want || (told == "") != (text == "") {
					t.Errorf("told %q as %q, after %q, and heard %q, want %q", text, told, after, got, want)
				}
				return told
			}
			first := f("one", "", 10, "")
			f("", first, 10, "")
			f("two", first, 10, "two")
			third := f("three", first, 10, "two three")
			f("", first, 1, "two")
			f("", third, 10, "")
			hostile := client.B().Xadd().Key("{p0}:limits").Id("*").FieldValue().FieldValue("n", "x").FieldValue("m", "y").Build()
			if err := client.Do(t.Context(), hostile).Error(); err != nil {
				t.Fatal(err)
			}
			f("four", third, 10, " four") // what no edge wrote is empty
		})
	}
}

// TestOldNoticesAreRemoved writes notices of long ago. Each notice removes those that are 5 s older than what its edge
// has heard.
func TestOldNoticesAreRemoved(t *testing.T) {
	t.Parallel()
	client := userOf(t, "sluice_edge", "", servicetest.Redis(t).Addr)
	store, err := redisstock.New(client, redisstock.Config{Partitions: 4, CallTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	const key = "{p0}:limits"
	for _, id := range []string{"1000-1", "2000-1", "2500-1"} {
		if err := client.Do(t.Context(), client.B().Xadd().Key(key).Id(id).FieldValue().FieldValue("n", "old").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		after string
		want  int64
	}{{"2500-1", 4}, {"7001-0", 3}, {"9000-0", 3}} {
		if _, _, err := store.ExchangeNotices(t.Context(), []byte("new"), step.after, 10); err != nil {
			t.Fatal(err)
		}
		left, err := client.Do(t.Context(), client.B().Xlen().Key(key).Build()).AsInt64()
		if err != nil || left != step.want {
			t.Errorf("an edge that has heard %s leaves %d notices, want %d; %v", step.after, left, step.want, err)
		}
	}
}
