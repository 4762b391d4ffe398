package apptest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"sluice/bench/load"
)

// answer is what an edge told a shopper: the members of a reservation, or the code of a problem.
type answer struct {
	Status        int
	ReservationID string `json:"reservation_id"`
	SKU           string `json:"sku_id"`
	Quantity      int64  `json:"quantity"`
	State         string `json:"state"`
	Code          string `json:"code"`
	Replayed      bool
}

// purchase is one thing a shopper was promised.
type purchase struct {
	user int64
	answer
}

// crowd is shoppers who share a few connections to the edges. Every shopper tries twice, the second
// time at the next edge; who was cut off repeats the request under the same key until an edge answers.
type crowd struct {
	t       *testing.T
	edges   []string // addresses
	token   func(user int64, role string) string
	timeout time.Duration
	// accepted is called for every reservation that is promised for the first time.
	accepted func()

	mu        sync.Mutex
	purchases map[string]purchase // by reservation id
	counts    map[string]int      // answers by code or status
	cutOff    int                 // requests that were sent and got no answer
	settled   int                 // of those, decided before the cut and given that answer when repeated
}

func newCrowd(t *testing.T, edges []string, token func(int64, string) string) *crowd {
	t.Helper()
	return &crowd{
		t: t, edges: edges, token: token, timeout: 10 * time.Second,
		purchases: map[string]purchase{}, counts: map[string]int{},
	}
}

// member is one shopper at a time on its own connections.
type member struct {
	*crowd
	conns []*load.Conn
	buf   []byte
}

func (c *crowd) member() *member { return &member{crowd: c, conns: make([]*load.Conn, len(c.edges))} }

func (m *member) close() {
	for _, c := range m.conns {
		if c != nil {
			_ = c.Close()
		}
	}
}

// ask sends one request, beginning at an edge and going on to the next one after each cut: with the
// same key it is the same request wherever it arrives. Answers that promise nothing (overload, an
// unknown outcome) are repeated as well.
func (m *member) ask(edge int, path, token, key, body string) answer {
	cut := false
	deadline := time.Now().Add(2 * time.Minute)
	for attempt := 0; time.Now().Before(deadline); attempt++ {
		at := (edge + attempt) % len(m.edges)
		r, sent, err := m.exchange(at, path, token, key, body)
		if err != nil {
			if sent && !cut {
				cut = true
				m.count("cut off", &m.cutOff)
			}
			continue
		}
		var a answer
		if err := json.Unmarshal(r.Body, &a); err != nil {
			m.t.Errorf("%s answered %d with %q: %v", path, r.Status, r.Body, err)
			return answer{}
		}
		a.Status, a.Replayed = r.Status, r.Replay
		if r.Status == http.StatusServiceUnavailable || r.Status == http.StatusGatewayTimeout {
			m.count(a.Code, nil)
			pause(attempt)
			continue
		}
		if cut && a.Replayed {
			m.count("settled by repeating", &m.settled)
		}
		return a
	}
	m.t.Errorf("%s with key %s: no edge answered within two minutes", path, key)
	return answer{}
}

// pause backs off from an edge that asked for it.
func pause(attempt int) {
	limit := min(1<<min(attempt, 8), 200)
	timer := time.NewTimer(time.Duration(1+rand.IntN(limit)) * time.Millisecond)
	<-timer.C
}

// exchange sends a request to an edge, and tells whether it was sent: then an error says nothing about
// what the edge did.
func (m *member) exchange(edge int, path, token, key, body string) (r load.Response, sent bool, err error) {
	if m.conns[edge] == nil {
		m.conns[edge], err = load.Dial(m.edges[edge], m.timeout)
		if err != nil {
			pause(3)
			return load.Response{}, false, err
		}
	}
	m.buf = load.AppendPost(m.buf[:0], path, token, key, body)
	r, err = m.conns[edge].Do(m.buf)
	if err != nil {
		_ = m.conns[edge].Close()
		m.conns[edge] = nil
	}
	return r, true, err
}

func (c *crowd) count(what string, also *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
	if also != nil {
		*also++
	}
}

// buy reserves units for a user, and remembers what was promised.
func (m *member) buy(edge int, user, sku, quantity int64, key string) answer {
	a := m.ask(edge, "/v1/reservations", m.token(user, "shopper"), key, load.ReserveBody(sku, quantity))
	what := a.Code
	if a.Status == http.StatusCreated {
		what = "reserved"
		if a.Replayed {
			what = "replayed"
		}
		if a.SKU != fmt.Sprint(sku) || a.Quantity != quantity {
			m.t.Errorf("user %d asked for %d of SKU %d and got %+v", user, quantity, sku, a)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[what]++
	if a.Status == http.StatusCreated {
		if before, ok := m.purchases[a.ReservationID]; ok && before.user != user {
			m.t.Errorf("reservation %s was given to users %d and %d", a.ReservationID, before.user, user)
		}
		if _, ok := m.purchases[a.ReservationID]; !ok && m.accepted != nil {
			m.accepted()
		}
		m.purchases[a.ReservationID] = purchase{user: user, answer: a}
	}
	return a
}

// tryTwice is what each shopper of the hot SKU does: two tries at two edges, the second one under
// the same key for every other shopper. One key must have one answer.
func (m *member) tryTwice(user, sku int64) {
	edge := int(user) % len(m.edges)
	key := fmt.Sprintf("buy-%d", user)
	first := m.buy(edge, user, sku, 1, key)
	sameKey := user%2 == 0
	if !sameKey {
		key += "-again"
	}
	second := m.buy(edge+1, user, sku, 1, key)
	switch {
	case first.Status == http.StatusCreated && sameKey:
		if second.Status != http.StatusCreated || second.ReservationID != first.ReservationID || !second.Replayed {
			m.t.Errorf("user %d was given %s first and answered %+v under the same key", user, first.ReservationID, second)
		}
	case first.Status == http.StatusCreated:
		if second.Status == http.StatusCreated {
			m.t.Errorf("user %d got a second unit in spite of the limit: %+v", user, second)
		}
	}
}

// confirm pays for a reservation, as the order service would.
func (m *member) confirm(edge int, reservation string) {
	a := m.ask(edge, "/v1/reservations/"+reservation+"/confirm", m.token(1, "service"), "pay-"+reservation, "")
	if a.Status != http.StatusOK || a.State != "confirmed" {
		m.t.Errorf("confirm %s: %+v", reservation, a)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts["confirmed"]++
	p := m.purchases[reservation]
	p.State = "confirmed"
	m.purchases[reservation] = p
}
