package apptest

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/stock"
)

// scarceUnits is how much there is of one SKU, so that baskets are refused and given back under load, too.
const scarceUnits = 10

// failedCall matches how many calls for baskets have failed, if any.
var failedCall = regexp.MustCompile(`(?m)^sluice_core_script_failures_total\{script="(gather|decide|void)".*\} [1-9]\d*$`)

// TestOverloadOfBaskets offers an edge several times the baskets that its Redis can carry, beside single reservations. A basket is shed
// before it begins, and then leaves nothing behind. One that has begun is decided. After the crowd only held baskets and
// reservations hold units, and every key has its answer.
func TestOverloadOfBaskets(t *testing.T) {
	t.Parallel()
	crowds.Lock()
	defer crowds.Unlock()
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_PARTITIONS=4")
	c := newRush(t, s)
	edge := s.StartEdge("SLUICE_REDIS_ADDR="+throttled(t, s.Redis.Addr), "SLUICE_VECTOR_MAX=16", "SLUICE_REDIS_CALL_TIMEOUT=3s")
	s.StartPersister()

	calm := c.offer(edge, 10, 2*time.Second)
	full := c.offer(edge, 100, 4*time.Second) // more than the line carries
	over := c.offer(edge, 4*full.perSecond, 5*time.Second)
	gone := time.Now()
	t.Logf("few: %v; many: %v; four times what the line carries: %v", calm, full, over)
	if calm.shed > 0 || over.shed == 0 || over.held == 0 || calm.refused+full.refused+over.refused == 0 {
		t.Error("the baskets prove nothing")
	}
	if late := failedCall.FindAllString(ask(t, edge, "/metrics"), -1); len(late) > 0 { // the machine stood still for longer than a call
		t.Logf("calls of the edge have failed: %q", late)
	} else if calm.unknown+full.unknown+over.unknown > 0 || over.perSecond < 0.7*full.perSecond {
		t.Errorf("under load %v, want 0.7 of %.0f baskets per second, and none that is begun and not decided", over, full.perSecond)
	}
	settle(t, s, gone)
	c.compare(s.StartEdge())
}

// rush asks for baskets and single reservations, and keeps each answer.
type rush struct {
	*testing.T
	s     *stack.Stack
	in    client.Deployment
	skus  []int64 // the last one is scarce
	asked []*wish
}

// wish is a request for a basket, or for a reservation if it has one item, and its answer.
type wish struct {
	client.Basket
	held bool
	code client.Code
	at   time.Time // of the answer
}

// outcomes counts what became of the baskets of an offer. unknown are those without an answer, too.
type outcomes struct {
	held, refused, shed, unknown int
	perSecond                    float64 // held and refused before the last ones came
}

func (o outcomes) String() string {
	return fmt.Sprintf("%d held, %d refused (%.0f/s), %d shed, %d unknown", o.held, o.refused, o.perSecond, o.shed, o.unknown)
}

func newRush(t *testing.T, s *stack.Stack) *rush {
	t.Helper()
	c := &rush{T: t, s: s, in: client.Deployment{Partitions: s.Store.Partitions()}}
	seen, lines := map[int]bool{}, []string{"sku_id,quantity,limit"}
	for sku := int64(1000); len(c.skus) < 4; sku++ {
		if p := (stock.Cell{SKU: sku}).Partition(c.in.Partitions); !seen[p] {
			seen[p] = true
			c.skus = append(c.skus, sku)
			lines = append(lines, fmt.Sprintf("%d,%d,", sku, 1_000_000))
		}
	}
	lines[4] = fmt.Sprintf("%d,%d,", c.skus[3], scarceUnits)
	s.LoadCSV(lines...)
	return c
}

// service is a client that asks an edge once per call.
func (c *rush) service(edge *stack.Process) *client.Client {
	return one(client.New(client.Config{
		URL: "http://" + edge.Addr(), Attempts: 1, Timeout: 10 * time.Second, AtOnce: 1000,
		Token: func(context.Context) (string, error) { return c.s.Token(1, "service"), nil },
	}))(c.T)
}

// offer asks for so many baskets per second, whatever becomes of those before them, and for as many single reservations.
func (c *rush) offer(edge *stack.Process, perSecond float64, lasting time.Duration) (o outcomes) {
	service := c.service(edge)
	defer service.Close()
	first, began := len(c.asked), time.Now()
	var asking sync.WaitGroup
	for n := range int(perSecond * lasting.Seconds()) {
		time.Sleep(time.Until(began.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))))
		items := []client.Item{{SKU: c.skus[0], Quantity: 1}, {SKU: c.skus[1], Quantity: 1}, {SKU: c.skus[2], Quantity: 1}}
		if n%5 == 0 {
			items[n%3].SKU = c.skus[3]
		}
		for _, wanted := range [][]client.Item{items, items[1:2]} {
			user := int64(2 + len(c.asked))
			w := &wish{Basket: client.Basket{Items: wanted, User: user, Key: fmt.Sprint(user)}}
			c.asked = append(c.asked, w)
			asking.Go(func() {
				var err error
				if w.held, w.code, err = c.ask(service, w); w.code == "" && err != nil || w.code == client.CodeOutcomeUnknown {
					c.Logf("request %s of %d items: %v", w.Key, len(w.Items), err)
				}
				w.at = time.Now()
			})
		}
	}
	asking.Wait()
	for _, w := range c.asked[first:] {
		switch {
		case len(w.Items) == 1:
			continue
		case w.held:
			o.held++
		case w.code == client.CodeOverloaded:
			o.shed++
		case w.code == client.CodeSoldOut:
			o.refused++
		default:
			o.unknown++
		}
		if w.at.Sub(began) < lasting && w.code != client.CodeOverloaded {
			o.perSecond += 1 / lasting.Seconds()
		}
	}
	return o
}

func (c *rush) ask(service *client.Client, w *wish) (held bool, code client.Code, err error) {
	if len(w.Items) == 1 {
		_, err = service.Reserve(c.Context(), client.Take{SKU: w.Items[0].SKU, Quantity: 1, User: w.User, Key: w.Key})
	} else {
		_, err = service.HoldBasket(c.Context(), w.Basket)
	}
	return err == nil, client.CodeOf(err), err
}

// compare compares all answers with Redis, and asks again for everything at an edge that has time.
func (c *rush) compare(edge *stack.Process) {
	c.Helper()
	service, held := c.service(edge), map[int64]int64{}
	defer service.Close()
	for _, w := range c.asked {
		ids := idsOf(c.T, c.s, w.Basket)
		records, _, err := c.s.Store.Reservations(c.Context(), ids)
		if err != nil {
			c.Fatal(err)
		}
		for _, r := range records {
			if r.State == stock.StateHeld {
				held[r.Cell.SKU] += r.Quantity
			}
			if left := r.State != stock.StateNone; w.code == client.CodeOverloaded && left ||
				w.code != client.CodeOutcomeUnknown && (r.State == stock.StateHeld) != w.held {
				c.Errorf("request %s was answered held %v, code %q, and has %+v", w.Key, w.held, w.code, r)
			}
		}
	}
	for _, sku := range c.skus {
		states, _, err := c.s.Store.Cells(c.Context(), []stock.Cell{{SKU: sku}})
		if err != nil {
			c.Fatal(err)
		}
		if state := states[0]; !state.Sound() || state.Held != held[sku] {
			c.Errorf("SKU %d has %+v, its reservations hold %d", sku, state.Balances, held[sku])
		}
	}
	places := make(chan struct{}, 16)
	var asking sync.WaitGroup
	for _, w := range c.asked {
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			again, code, err := c.ask(service, w)
			decided := again || code == client.CodeSoldOut
			if !decided || w.held && !again || len(w.Items) > 1 && w.code == client.CodeSoldOut && again {
				c.Errorf("request %s was answered held %v, code %q, and again held %v: %v", w.Key, w.held, w.code, again, err)
			}
		})
	}
	asking.Wait()
}
