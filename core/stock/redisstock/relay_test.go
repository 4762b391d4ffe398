package redisstock_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestOutboxOfOtherDataIsLeftAlone exchanges the data of a Redis for others, whose keys and entries have the same
// names. Nothing that relays or deletes touches them before this process trusts them.
func TestOutboxOfOtherDataIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, exchange := range map[string]func(t *testing.T, own *shop, other rueidis.Client){
		"flushed, and restored from another": func(t *testing.T, own *shop, other rueidis.Client) {
			t.Helper()
			command(t, own.client, "FLUSHALL")
			for _, key := range strings.Fields(command(t, other, "KEYS", "*")) {
				command(t, own.client, "RESTORE", key, "0", command(t, other, "DUMP", key))
			}
		},
		"swapped for another database": func(t *testing.T, own *shop, other rueidis.Client) {
			t.Helper()
			addr := own.addr()
			options := redis.Options([]string{addr}, "", "")
			options.SelectDB = 1
			second, err := rueidis.NewClient(options)
			if err != nil {
				t.Fatal(err)
			}
			defer second.Close()
			for _, key := range strings.Fields(command(t, other, "KEYS", "*")) {
				command(t, second, "RESTORE", key, "0", command(t, other, "DUMP", key))
			}
			command(t, own.client, "SWAPDB", "0", "1")
		},
		"replicated from another": func(t *testing.T, own *shop, other rueidis.Client) {
			t.Helper()
			host, port, err := net.SplitHostPort((&shop{TB: t, client: other}).addr())
			if err != nil {
				t.Fatal(err)
			}
			command(t, own.client, "REPLICAOF", host, port)
			for end := time.Now().Add(time.Minute); !strings.Contains(command(t, own.client, "INFO", "replication"), "master_link_status:up"); {
				if time.Now().After(end) {
					t.Fatal("it does not become a replica")
				}
			}
			command(t, own.client, "REPLICAOF", "NO", "ONE")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, onServer(t), redisstock.Config{})
			cell := newCell()
			p := partition(cell)
			entry := s.do(stock.OpAdjust, creation(cell, 10, stock.Settings{})).Entry

			other := connect(t, servicetest.Redis(t).Addr)
			foreign := stock.Mark{Nonce: s.Marks()[p].Nonce + 1, Effects: 1 << 20}
			command(t, other, "SET", redisstock.MarkKey(p), redisstock.PackMark(foreign))
			command(t, other, "XADD", redisstock.OutboxKey(p), entry.ID, "e", "of another deployment")
			command(t, other, "HSET", redisstock.MetaKey(p), "deployment", "another")
			exchange(t, s, other)

			calls := map[string]func() error{
				"ends":       func() error { return s.OutboxEnds(t.Context())[p].Err },
				"after":      func() error { _, err := s.RelayAfter(t.Context(), p, "", 1); return err },
				"delete":     func() error { _, err := s.OutboxDelete(t.Context(), p, []string{entry.ID}); return err },
				"lease":      func() error { _, err := s.RelayLease(t.Context(), p, "a", time.Minute); return err },
				"mark":       func() error { _, _, err := s.RelayMark(t.Context(), p); return err },
				"set mark":   func() error { return s.SetRelayMark(t.Context(), p, entry.ID) },
				"reset mark": func() error { _, err := s.ResetRelayMark(t.Context(), p); return err },
			}
			dump := func() (dumps []string) {
				for _, key := range []string{redisstock.OutboxKey(p), redisstock.MetaKey(p), redisstock.RelayKey(p)} {
					dumps = append(dumps, command(t, s.client, "DUMP", key))
				}
				return dumps
			}
			before := dump()
			for name, call := range calls {
				if err := call(); !errors.Is(err, stock.ErrShut) {
					t.Errorf("%s: error is %v, want %v", name, err, stock.ErrShut)
				}
			}
			if !slices.Equal(before, dump()) {
				t.Error("the data of another deployment were changed")
			}
			trusted := s.Marks()
			trusted[p] = stock.Mark{Nonce: foreign.Nonce, Effects: 1 << 30} // set back, and of this history all the same
			s.Resume(trusted)
			for name, call := range calls {
				if err := call(); err != nil {
					t.Errorf("trusted, %s: %v", name, err)
				}
			}
		})
	}
}

// command sends any command, and returns its answer as text, lists with a space between.
func command(t *testing.T, client rueidis.Client, words ...string) string {
	t.Helper()
	answer := client.Do(t.Context(), client.B().Arbitrary(words...).Build())
	if list, err := answer.AsStrSlice(); err == nil {
		return strings.Join(list, " ")
	}
	text, err := answer.ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		if _, err = answer.AsInt64(); err != nil {
			t.Fatalf("%q: %v", words[0], err)
		}
	}
	return text
}

// addr is the address of the only server.
func (s *shop) addr() string {
	for addr := range s.client.Nodes() {
		return addr
	}
	return ""
}
