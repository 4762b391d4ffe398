package apptest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/evidence"
	"sluice/core/redis"
	"sluice/core/stock"
)

// TestFullRedisEmptiesItself fills Redis with events that nobody has written down, restarts it, and starts an edge and
// a persister that have made none of them. Held units can be settled at once, and units are reserved again as soon as
// the events are in MySQL. Nobody gives Redis memory.
func TestFullRedisEmptiesItself(t *testing.T) {
	t.Parallel()
	const sku, units = 1001, 1_000_000
	s := stack.New(t)
	s.LoadCSV("sku_id,quantity,limit", fmt.Sprintf("%d,%d,", sku, units))
	first := s.StartEdge()
	service := newClient(t, "http://"+first.Addr()).As(s.Token(1, "service"))
	reserve := func(c *client.Client, user int64) (client.Reservation, error) {
		return c.Reserve(t.Context(), client.Take{SKU: sku, Quantity: 1, User: user})
	}
	confirmed, released := one(reserve(service, 1))(t), one(reserve(service, 2))(t)
	must(t, first.Kill()) // before Redis is filled: nobody then publishes what fills it

	cfg := redis.Config{Addrs: []string{s.Redis.Addr}, CallTimeout: time.Second}
	server, err := cfg.Client()
	must(t, err)
	t.Cleanup(server.Close)
	must(t, s.Store.Adopt(t.Context(), evidence.NewNonces(s.DB)))
	fill(t, s, stock.Cell{SKU: sku}, 12<<20)
	full := used(t, server) - 4<<20 // buffers of connections that nobody uses any more shrink meanwhile
	set(t, server, "maxmemory", full)
	must(t, server.Do(t.Context(), server.B().ScriptFlush().Build()).Error())

	edge := s.StartEdge()
	service = newClient(t, "http://"+edge.Addr()).As(s.Token(1, "service"))
	if p := refused(reserve(service, 3))(t, client.CodeUnavailable); p.Status != 503 || !p.Retryable || !strings.Contains(p.Detail, "memory of Redis is full") {
		t.Errorf("on a full Redis: %+v", p)
	}
	if r := one(service.Confirm(t.Context(), confirmed.ID))(t); r.State != client.StateConfirmed {
		t.Errorf("confirmed: %+v", r)
	}
	if r := one(service.Release(t.Context(), released.ID))(t); r.State != client.StateReleased {
		t.Errorf("released: %+v", r)
	}
	s.StartPersister()
	within(t, time.Minute, func() bool {
		_, err := reserve(service, 3)
		return err == nil
	})
	if now := used(t, server); now >= full {
		t.Errorf("Redis uses %d bytes of %d", now, full)
	}
	s.Drained(t, time.Minute)
}

// fill takes units until Redis uses so much more memory. Nobody publishes their events.
func fill(t *testing.T, s *stack.Stack, cell stock.Cell, bytes int64) {
	t.Helper()
	partition := cell.Partition(s.Store.Partitions())
	for user := int64(1000); bytes > 0; {
		v := &stock.Vector{Op: stock.OpReserve, Partition: partition}
		for range stock.VectorMax {
			user++
			v.Requests = append(v.Requests, stock.Request{
				ID:   stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: "fill"}.ID(s.Store.Partitions()),
				Cell: cell, User: user, Quantity: 1, Fingerprint: stock.FingerprintOf(1),
			})
		}
		s.Store.Do(t.Context(), v)
		if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
			t.Fatalf("outcomes %v, error %v", v.Outcomes, v.Err)
		}
		bytes -= int64(len(v.Entry.Data))
	}
}

// used is how much memory Redis uses.
func used(t *testing.T, server rueidis.Client) int64 {
	t.Helper()
	info := one(server.Do(t.Context(), server.B().Info().Section("memory").Build()).ToString())(t)
	_, line, _ := strings.Cut(info, "used_memory:")
	line, _, _ = strings.Cut(line, "\r\n")
	return one(strconv.ParseInt(line, 10, 64))(t)
}

func set(t *testing.T, server rueidis.Client, name string, value int64) {
	t.Helper()
	must(t, server.Do(t.Context(), server.B().ConfigSet().ParameterValue().ParameterValue(name, strconv.FormatInt(value, 10)).Build()).Error())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
