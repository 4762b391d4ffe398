package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/core/auth"
)

// fakeEdge answers the calls of the scenarios from memory. It does so as an edge would, but for its fault.
type fakeEdge struct {
	fault string
	keys  *auth.Verifier

	mu    sync.Mutex
	cells map[string]*fakeCell
	made  map[string][]*reservation // by user and key
	n     int
}

type fakeCell struct {
	Total, Avail, Held, Sold, limit int64
	hold                            time.Duration
	owned                           map[int64]int64
}

type reservation struct {
	ID       string `json:"reservation_id"`
	SKU      string `json:"sku_id"`
	Quantity int64  `json:"quantity"`
	State    string `json:"state"`
	deadline time.Time
}

// startFake starts one, and returns the file that a script finds it by.
func startFake(t *testing.T, fault string) (devFile string) {
	t.Helper()
	dir := t.TempDir()
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(dir, "keys.json")
	if err := auth.WriteKeys(keyFile, key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	e := &fakeEdge{
		fault: fault, cells: map[string]*fakeCell{}, made: map[string][]*reservation{},
		keys: auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 1000}),
	}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request, auth.Identity){
		"PUT /admin/v1/skus/{sku}":           e.load,
		"GET /admin/v1/skus/{sku}":           e.show,
		"PUT /admin/v1/sales/{sale}":         e.makeSale,
		"POST /admin/v1/sales/{sale}/open":   func(w http.ResponseWriter, _ *http.Request, _ auth.Identity) { answer(w, 200, struct{}{}) },
		"GET /admin/v1/reservations":         e.list,
		"POST /v1/reservations":              e.reserve,
		"POST /v1/baskets":                   e.reserve,
		"POST /v1/reservations/{id}/confirm": e.settle("confirmed"),
		"POST /v1/reservations/{id}/release": e.settle("released"),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			who, err := e.keys.Verify([]byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")), time.Now())
			if err != nil || strings.HasPrefix(r.URL.Path, "/admin/") != (who.Role == auth.RoleAdmin) {
				refuse(w, 401, "unauthorized")
				return
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			e.expire()
			handle(w, r, who)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	devFile = filepath.Join(dir, "dev.json")
	text := fmt.Sprintf(`{"edge_url":%q,"token_key_file":%q}`, server.URL, keyFile)
	if err := os.WriteFile(devFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return devFile
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// refuse answers with a problem document, or with something else where there is no code.
func refuse(w http.ResponseWriter, status int, code string) {
	if code == "" {
		answer(w, status, "malformed")
		return
	}
	answer(w, status, map[string]string{"code": code})
}

func read[T any](r *http.Request) (body T) {
	_ = json.NewDecoder(r.Body).Decode(&body)
	return body
}

func (e *fakeEdge) load(w http.ResponseWriter, r *http.Request, _ auth.Identity) {
	body := read[struct {
		Quantity, Limit int64
		Hold            int64 `json:"hold_ms"`
	}](r)
	e.cells[r.PathValue("sku")] = &fakeCell{
		Total: body.Quantity, Avail: body.Quantity, limit: body.Limit, hold: time.Duration(body.Hold) * time.Millisecond, owned: map[int64]int64{},
	}
	answer(w, 201, struct{}{})
}

// makeSale has the units of the SKU itself, and only the limit is of the sale.
func (e *fakeEdge) makeSale(w http.ResponseWriter, r *http.Request, _ auth.Identity) {
	body := read[struct {
		Limit int64
		Items []struct {
			SKU string `json:"sku_id"`
		}
	}](r)
	e.cells[body.Items[0].SKU].limit = body.Limit
	answer(w, 201, struct{}{})
}

func (e *fakeEdge) show(w http.ResponseWriter, r *http.Request, _ auth.Identity) {
	c := *e.cells[r.PathValue("sku")]
	switch e.fault {
	case "a lost unit":
		c.Held--
		c.Avail++
	case "counters that do not add up":
		c.Avail++
	}
	answer(w, 200, map[string]any{"total": c.Total, "avail": c.Avail, "held": c.Held, "sold": c.Sold, "frozen": false, "fenced": false, "breached": false})
}

// all are the reservations, in an order.
func (e *fakeEdge) all() (all []*reservation) {
	for _, key := range slices.Sorted(maps.Keys(e.made)) {
		all = append(all, e.made[key]...)
	}
	return all
}

// expire gives back what was held for too long.
func (e *fakeEdge) expire() {
	for _, one := range e.all() {
		if one.State == "held" && time.Now().After(one.deadline) && e.fault != "holds that do not expire" {
			e.end(one, "expired")
		}
	}
}

func (e *fakeEdge) list(w http.ResponseWriter, r *http.Request, _ auth.Identity) {
	data := []*reservation{}
	for _, one := range e.all() {
		if one.SKU == r.FormValue("sku_id") && one.State == r.FormValue("state") {
			data = append(data, one)
		}
	}
	if e.fault == "a row that MySQL lacks" && len(data) > 0 {
		data = data[1:]
	}
	answer(w, 200, map[string]any{"data": data, "as_of": time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)})
}

type item struct {
	SKU      string `json:"sku_id"`
	Quantity int64  `json:"quantity"`
}

// reserve holds a unit or a basket. A retried key gets its first answer.
func (e *fakeEdge) reserve(w http.ResponseWriter, r *http.Request, who auth.Identity) {
	body := read[struct {
		item

		Items []item
	}](r)
	items := body.Items
	if len(items) == 0 {
		items = []item{body.item}
	}
	e.n++
	key := fmt.Sprintf("%d %s", who.Subject, r.Header.Get("Idempotency-Key"))
	if e.fault == "a second effect of a key" {
		key += strconv.Itoa(e.n)
	}
	if before := e.made[key]; before != nil {
		if e.fault == "no word of a replay" {
			refuse(w, 503, "overloaded")
			return
		}
		w.Header().Set("Idempotent-Replayed", "true")
		held(w, before)
		return
	}
	if status, code := e.refusal(who.Subject, items); status != 0 {
		refuse(w, status, code)
		return
	}
	for i, it := range items {
		c := e.cells[it.SKU]
		c.Avail -= it.Quantity
		c.Held += it.Quantity
		c.owned[who.Subject] += it.Quantity
		e.made[key] = append(e.made[key], &reservation{
			ID: fmt.Sprintf("%d-%d", e.n, i), SKU: it.SKU, Quantity: it.Quantity, State: "held", deadline: time.Now().Add(c.hold),
		})
	}
	if e.fault == "cut answers" && e.n%3 == 0 { // once: the repetition finds it done
		panic(http.ErrAbortHandler)
	}
	held(w, e.made[key])
}

func held(w http.ResponseWriter, made []*reservation) {
	if len(made) > 1 {
		answer(w, 201, map[string]any{"reservations": made})
		return
	}
	answer(w, 201, made[0])
}

// refusal is why a user does not get the items; 0 if there is no reason.
func (e *fakeEdge) refusal(user int64, items []item) (status int, code string) {
	switch e.fault {
	case "status 500":
		return 500, "internal"
	case "a broken answer":
		return 400, ""
	case "nothing for sale":
		return 409, "sold_out"
	case "no capacity":
		return 503, "overloaded"
	case "a switch that trips":
		return 503, "frozen"
	case "nothing after a while":
		if e.n > 8 {
			return 409, "sold_out"
		}
	case "no capacity for some":
		if user%3 == 0 {
			return 503, "overloaded"
		}
	case "a limit for strangers":
		if user%3 == 0 {
			return 409, "limit_reached"
		}
	case "no baskets":
		if len(items) > 1 {
			return 409, "sold_out"
		}
	}
	for _, it := range items {
		c := e.cells[it.SKU]
		switch {
		case e.fault == "units that it keeps" && c.Avail < c.Total/2, c.Avail < it.Quantity && e.fault != "more units than there are":
			return 409, "sold_out"
		case c.limit > 0 && c.owned[user]+it.Quantity > c.limit && e.fault != "no limit":
			return 409, "limit_reached"
		}
	}
	return 0, ""
}

// end settles a reservation.
func (e *fakeEdge) end(one *reservation, state string) {
	c := e.cells[one.SKU]
	one.State = state
	c.Held -= one.Quantity
	if state == "confirmed" && e.fault != "a sale that is not counted" {
		c.Sold += one.Quantity
	} else {
		c.Avail += one.Quantity
	}
}

func (e *fakeEdge) settle(state string) func(http.ResponseWriter, *http.Request, auth.Identity) {
	return func(w http.ResponseWriter, r *http.Request, _ auth.Identity) {
		if e.fault == "nothing "+state {
			refuse(w, 429, "rate_limited")
			return
		}
		for _, one := range e.all() {
			if one.ID == r.PathValue("id") {
				e.end(one, state)
				answer(w, 200, one)
				return
			}
		}
		refuse(w, 404, "unknown_reservation")
	}
}
