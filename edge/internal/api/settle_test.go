package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// reserved is the path of a new reservation of a shopper.
func (f *fixture) reserved(shopper string, sku int64) string {
	f.t.Helper()
	got := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(sku, 1)})
	return reservePath + "/" + got.json["reservation_id"].(string)
}

func TestExtend(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, func(s *stock.Settings) { s.ExtendMax = time.Hour })
	f.load(stock.Cell{SKU: 2}, 10, nil)
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	path := f.reserved(shopper, 1)
	first, err := time.Parse(time.RFC3339, f.do(call{method: "GET", path: path, token: service}).json["expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	g := func(path, token string, until time.Time, status int, code string, want time.Duration) {
		t.Helper()
		got := f.do(call{method: "POST", path: path + "/extend", token: token, body: fmt.Sprintf(`{"expires_at":%q}`, until.Format(time.RFC3339Nano))})
		if got.status != status || got.code() != code {
			t.Errorf("%d %s", got.status, got.body)
		}
		if at := first.Add(want).UTC().Format("2006-01-02T15:04:05.000Z"); status == 200 && got.json["expires_at"] != at {
			t.Errorf("it expires at %v, want %s", got.json["expires_at"], at)
		}
	}
	const minute = time.Minute + 7*time.Millisecond
	g(path, shopper, first.Add(minute), 403, "forbidden", 0)
	g(path, service, first.Add(minute), 200, "", minute)
	g(path, service, first.Add(minute), 200, "", minute)
	g(path, service, first, 200, "", minute)
	g(path, service, first.Add(9*time.Hour), 200, "", time.Hour)
	g(path, service, first.Add(9*time.Hour), 200, "", time.Hour)
	g(f.reserved(shopper, 2), service, first.Add(9*time.Hour), 409, "limit_reached", 0)
	f.do(call{method: "POST", path: path + "/confirm", token: service})
	g(path, service, first.Add(time.Minute), 409, "wrong_state", 0)
	g(reservePath+"/"+strings.Repeat("0", 32), service, first, 404, "unknown_reservation", 0)
}

func TestReturns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sale := stock.Cell{SKU: 1, Pool: 5}
	f.load(sale, 10, func(s *stock.Settings) { s.Limit = 3 })
	service := f.token(1, auth.RoleService)
	body := func(quantity int, reason string) string {
		return fmt.Sprintf(`{"sku_id":"1","sale_id":"5","quantity":%d,"user_id":"7","reason":%q}`, quantity, reason)
	}
	f.do(call{method: "POST", path: "/v1/deductions", token: service, body: `{"sku_id":"1","sale_id":"5","quantity":3,"user_id":"7"}`})
	back := call{method: "POST", path: "/v1/returns", token: service, key: "refund", body: body(2, "did not fit")}
	got := f.do(back)
	if got.status != 201 || got.json["state"] != "returned" || got.json["user_id"] != "7" || got.json["expires_at"] != nil ||
		got.header.Get("Location") != reservePath+"/"+got.json["reservation_id"].(string) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if again := f.do(back); again.body != got.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	if shown := f.do(call{method: "GET", path: got.header.Get("Location"), token: service}); shown.body != got.body {
		t.Errorf("shown: %d %s", shown.status, shown.body)
	}
	if shown := f.do(call{method: "GET", path: "/v1/returns/" + got.json["reservation_id"].(string), token: service}); shown.body != got.body {
		t.Errorf("looked up: %d %s", shown.status, shown.body)
	}
	g := func(token, key, body string, status int, code string) {
		t.Helper()
		if got := f.do(call{method: "POST", path: "/v1/returns", token: token, key: key, body: body}); got.status != status || got.code() != code {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	g(service, "refund", body(1, "did not fit"), 422, "mismatch")
	g(service, "refund", body(2, "other"), 422, "mismatch")
	g(service, "more", body(2, "did not fit"), 409, "wrong_state")
	if got := f.do(call{method: "POST", path: "/v1/returns", token: service, body: body(2, "did not fit")}); got.json["detail"] != errNotSold.Detail {
		t.Errorf("more than was sold: %s", got.body)
	}
	g(f.token(7, auth.RoleShopper), "mine", body(1, "mine"), 403, "forbidden")
	g(service, "", strings.Replace(body(1, "x"), `"1"`, `"2"`, 1), 404, "not_loaded")
	f.unknown[sale] = true // the screen answers, and Redis is not asked
	g(service, "", body(1, "x"), 404, "not_loaded")
	delete(f.unknown, sale)
	g(service, "", strings.Replace(body(1, "x"), `"user_id":"7",`, "", 1), 400, "malformed")
	if s := f.state(sale); s.Avail != 9 || s.Sold != 1 || s.Total != 10 {
		t.Errorf("the cell is %+v", s.Balances)
	}
	g(service, "", body(1, "the rest"), 201, "")
	if got := f.do(call{method: "POST", path: "/v1/deductions", token: service, body: `{"sku_id":"1","sale_id":"5","quantity":3,"user_id":"7"}`}); got.status != 201 {
		t.Errorf("the user may buy again: %d %s", got.status, got.body)
	}
}

// books have one return, which Redis has forgotten, and are behind.
type books struct {
	emptyBooks

	has    stock.Reservation
	behind time.Duration
	err    error
}

func (b *books) Return(_ context.Context, id stock.ReservationID) (*stock.Reservation, time.Duration, error) {
	switch {
	case b.err != nil:
		return nil, 0, b.err
	case id != b.has.ID:
		return nil, b.behind, nil
	}
	return &b.has, b.behind, nil
}

// TestReturnsAreLookedUp finds a return in MySQL that Redis has forgotten, and says that there is none only if that is certain.
func TestReturnsAreLookedUp(t *testing.T) {
	t.Parallel()
	kept := &books{has: stock.Reservation{
		ID: stock.ReservationID{15: 9}, Cell: stock.Cell{SKU: 1, Pool: 5}, User: 7, Quantity: 2, State: stock.StateReturned,
	}}
	f := newFixture(t, func(p *Parts) { p.Books = kept })
	cell := stock.Cell{SKU: 1}
	f.load(cell, 10, nil)
	service := f.token(1, auth.RoleService)
	look := func(id, token string, status int, want string) {
		t.Helper()
		if got := f.do(call{method: "GET", path: "/v1/returns/" + id, token: token}); got.status != status || !strings.Contains(got.body, want) {
			t.Errorf("%d %s, want %d and %s", got.status, got.body, status, want)
		}
	}
	look(kept.has.ID.String(), service, 200, `"sale_id":"5","user_id":"7","state":"returned"}`)
	look(kept.has.ID.String(), f.token(7, auth.RoleShopper), 403, "forbidden")
	nobody := stock.ReservationID{15: 8}.String()
	for behind, want := range map[time.Duration]int{0: 404, 11 * time.Hour: 404, 13 * time.Hour: 503, -1: 503} {
		kept.behind = behind
		look(nobody, service, want, "")
		look(kept.has.ID.String(), service, 200, "returned")
	}
	kept.behind, kept.err = 0, ledger.ErrMayBeLetter
	look(nobody, service, 503, `"retryable":true,"detail":"the return may be in a dead letter`)
	kept.err = nil
	look("x", service, 404, "unknown_reservation")
	held := f.do(call{method: "POST", path: reservePath, token: service, body: `{"sku_id":"1","quantity":1,"user_id":"7"}`})
	kept.behind = -1 // which does not matter: it is the id of something else
	look(held.json["reservation_id"].(string), service, 404, "nothing was returned under this id")
}

// TestOldReturnsAreLookedUp sends returns again that were first sent so long ago that Redis may have forgotten them.
// They make no units free, even if the shop has wrong numbers of the deployment.
func TestOldReturnsAreLookedUp(t *testing.T) {
	t.Parallel()
	kept := &books{}
	f := newFixture(t, func(p *Parts) { p.Books, p.Retention = kept, 2*time.Hour })
	cell := stock.Cell{SKU: 1}
	f.load(cell, 10, nil)
	service := f.token(1, auth.RoleService)
	f.do(call{method: "POST", path: "/v1/deductions", token: service, body: `{"sku_id":"1","quantity":5,"user_id":"7"}`})
	kept.has = stock.Reservation{
		ID:   stock.Identity{User: 7, Route: stock.OpReturn, Cell: cell, Key: "forgotten"}.ID(partitions),
		Cell: cell, User: 7, Quantity: 2, State: stock.StateReturned,
	}
	back := func(key string, quantity int, age time.Duration, status int, want string) {
		t.Helper()
		body := fmt.Sprintf(`{"sku_id":"1","quantity":%d,"user_id":"7","reason":"x","asked_at":%q}`, quantity, noon.Add(-age).Format(time.RFC3339))
		got := f.do(call{method: "POST", path: "/v1/returns", token: service, key: key, body: body})
		if got.status != status || !strings.Contains(got.body, want) {
			t.Errorf("%q of %v ago: %d %s, want %d and %s", key, age, got.status, got.body, status, want)
		}
		if status != 201 {
			return
		}
		path := reservePath
		if key == "forgotten" {
			path = "/v1/returns"
		}
		at := got.header.Get("Location")
		if replayed := got.header.Get("Idempotent-Replayed") == "true"; replayed != (age > time.Hour) || at != path+"/"+got.json["reservation_id"].(string) {
			t.Errorf("%q of %v ago: %v", key, age, got.header)
		}
		if shown := f.do(call{method: "GET", path: at, token: service}); shown.status != 200 || shown.body != got.body {
			t.Errorf("%q of %v ago is not at %s: %d %s", key, age, at, shown.status, shown.body)
		}
	}
	back("forgotten", 2, time.Hour+time.Second, 201, `"quantity":2,"user_id":"7","state":"returned"}`)
	back("forgotten", 1, time.Hour+time.Second, 422, "mismatch")
	back("never-sent", 1, 30*24*time.Hour, 404, "nothing was returned under this id")
	for _, behind := range []time.Duration{-1, time.Hour + time.Second} {
		kept.behind = behind
		back("never-sent", 1, 2*time.Hour, 503, "unavailable")
	}
	if s := f.state(cell); s.Sold != 5 {
		t.Errorf("an old return made units free: %+v", s.Balances)
	}
	back("young", 1, time.Hour, 201, "returned")
	back("future", 1, -time.Hour, 201, "returned")
	kept.behind = 0
	back("young", 1, 3*time.Hour, 201, "returned") // in Redis still
	back("young", 2, 3*time.Hour, 422, "mismatch")
	if s := f.state(cell); s.Sold != 3 || s.Avail != 7 {
		t.Errorf("two young returns left %+v", s.Balances)
	}
}

func TestDeploymentIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(p *Parts) { p.Retention = 90 * time.Minute })
	want := fmt.Sprintf(`{"partitions":%d,"retention_ms":5400000}`, partitions)
	for role, status := range map[auth.Role]int{auth.RoleService: 200, auth.RoleShopper: 200, auth.RoleAdmin: 403} {
		got := f.do(call{method: "GET", path: "/v1/deployment", token: f.token(7, role)})
		if got.status != status || status == 200 && got.body != want {
			t.Errorf("%v: %d %s", role, got.status, got.body)
		}
	}
}

// TestSalesOnly keeps shoppers from normal stock where a deployment says so, and lets services take it for them.
func TestSalesOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(p *Parts) { p.SalesOnly = true })
	f.load(stock.Cell{SKU: 1}, 10, func(s *stock.Settings) { s.ShopperDeducts = true })
	f.load(stock.Cell{SKU: 1, Pool: 5}, 10, func(s *stock.Settings) { s.ShopperDeducts = true })
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	for _, path := range []string{reservePath, "/v1/deductions"} {
		for body, want := range map[string]int{`{"sku_id":"1","quantity":1}`: 403, `{"sku_id":"1","quantity":1,"sale_id":"5"}`: 201} {
			if got := f.do(call{method: "POST", path: path, token: shopper, body: body}); got.status != want {
				t.Errorf("%s %s: %d %s", path, body, got.status, got.body)
			}
		}
		if got := f.do(call{method: "POST", path: path, token: service, body: `{"sku_id":"1","quantity":1,"user_id":"7"}`}); got.status != 201 {
			t.Errorf("a service: %d %s", got.status, got.body)
		}
	}
	if s := f.state(stock.Cell{SKU: 1}); s.Held+s.Sold != 2 {
		t.Errorf("the cell is %+v", s.Balances)
	}
}

// TestLists decides reservations of lists, each by itself, and nothing of a list that is malformed.
func TestLists(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for sku := int64(1); sku <= 3; sku++ {
		f.load(stock.Cell{SKU: sku}, 10, func(s *stock.Settings) { s.ExtendMax = time.Hour })
	}
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	var ids []string
	for n := range int64(6) {
		ids = append(ids, strings.TrimPrefix(f.reserved(shopper, 1+n%3), reservePath+"/"))
	}
	impossible, nobody := strings.Repeat("f", 32), strings.Repeat("0", 32)
	g := func(op, token string, ids []string, want ...string) {
		t.Helper()
		list, _ := json.Marshal(ids)
		body := `{"reservation_ids":` + string(list) + `}`
		got := f.do(call{method: "POST", path: reservePath + "/" + op, token: token, body: body})
		if got.status != 200 {
			if !slices.Equal(want, []string{got.code()}) || got.status == 400 && op != "extend" && !strings.HasPrefix(got.json["pointer"].(string), "/reservation_ids") {
				t.Errorf("%s: %d %s", op, got.status, got.body)
			}
			return
		}
		var said []string
		for i, line := range got.json["data"].([]any) {
			line := line.(map[string]any)
			if line["reservation_id"] != ids[i] {
				t.Errorf("line %d is %v", i, line)
			}
			if p, ok := line["problem"].(map[string]any); ok {
				said = append(said, p["code"].(string))
			} else {
				said = append(said, line["reservation"].(map[string]any)["state"].(string))
			}
		}
		if !slices.Equal(said, want) {
			t.Errorf("%s: %v, want %v: %s", op, said, want, got.body)
		}
	}
	for wrong, want := range map[string]string{
		ids[0]: "want each reservation once: " + ids[0] + " is there twice", strings.ToUpper(ids[2]): stock.ErrReservationID.Error(), "": stock.ErrReservationID.Error(),
	} {
		body := fmt.Sprintf(`{"reservation_ids":[%q,%q,%q]}`, ids[0], ids[1], wrong)
		got := f.do(call{method: "POST", path: reservePath + "/release", token: service, body: body})
		if got.status != 400 || got.json["pointer"] != "/reservation_ids/2" || got.json["detail"] != want {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	got := f.do(call{method: "POST", path: reservePath + "/release", token: service, body: fmt.Sprintf(`{"reservation_ids":[%q,7]}`, ids[0])})
	if got.status != 400 || got.json["pointer"] != "/reservation_ids/1" {
		t.Errorf("a number: %d %s", got.status, got.body)
	}
	g("confirm", service, make([]string, 51), "malformed")
	g("confirm", service, []string{}, "malformed")
	g("confirm", shopper, ids[:2], "forbidden")
	g("extend", service, ids[:2], "malformed") // no deadline
	if s := f.state(stock.Cell{SKU: 1}); s.Held != 2 || s.Sold != 0 {
		t.Errorf("a refused list did something: %+v", s.Balances)
	}
	g("confirm", service, []string{ids[0], nobody, ids[1], impossible}, "confirmed", "unknown_reservation", "confirmed", "unknown_reservation")
	g("release", shopper, []string{ids[0], ids[2], nobody, impossible, ids[3]}, "wrong_state", "released", "unknown_reservation", "unknown_reservation", "released")
	g("release", f.token(8, auth.RoleShopper), ids[4:], "unknown_reservation", "unknown_reservation")
	g("release", service, ids[3:], "released", "released", "released")
}

// TestExtendList moves the deadlines of a list, each as far as its cell allows.
func TestExtendList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for sku, most := range map[int64]time.Duration{1: time.Hour, 2: time.Second, 3: 0} {
		f.load(stock.Cell{SKU: sku}, 10, func(s *stock.Settings) { s.ExtendMax = most })
	}
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	var ids []string
	for _, sku := range []int64{1, 2, 3, 1} {
		ids = append(ids, strings.TrimPrefix(f.reserved(shopper, sku), reservePath+"/"))
	}
	held, err := time.Parse(time.RFC3339, f.do(call{method: "GET", path: reservePath + "/" + ids[0], token: service}).json["expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	until := held.Add(time.Minute + 7*time.Millisecond)
	list, _ := json.Marshal(ids)
	got := f.do(call{
		method: "POST", path: reservePath + "/extend", token: service,
		body: fmt.Sprintf(`{"reservation_ids":%s,"expires_at":%q}`, list, until.Format(time.RFC3339Nano)),
	})
	if got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	const form = "2006-01-02T15:04:05.000Z"
	for i, want := range []string{until.UTC().Format(form), held.Add(time.Second).UTC().Format(form), "limit_reached", until.UTC().Format(form)} {
		line := got.json["data"].([]any)[i].(map[string]any)
		said := line["reservation"]
		if r, ok := said.(map[string]any); ok {
			said = r["expires_at"]
		} else {
			said = line["problem"].(map[string]any)["code"]
		}
		if said != want || line["reservation_id"] != ids[i] {
			t.Errorf("line %d is %v, want %s", i, line, want)
		}
	}
}

// TestListsNameUsersToServicesOnly releases a reservation by its shopper and another one by a service.
func TestListsNameUsersToServicesOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, nil)
	shopper := f.token(7, auth.RoleShopper)
	for token, want := range map[string]any{shopper: nil, f.token(1, auth.RoleService): "7"} {
		id := strings.TrimPrefix(f.reserved(shopper, 1), reservePath+"/")
		got := f.do(call{method: "POST", path: reservePath + "/release", token: token, body: fmt.Sprintf(`{"reservation_ids":[%q]}`, id)})
		line := got.json["data"].([]any)[0].(map[string]any)
		if r, ok := line["reservation"].(map[string]any); !ok || r["user_id"] != want || r["state"] != "released" {
			t.Errorf("%d %s, want the user %v", got.status, got.body, want)
		}
	}
}

// TestPanicOfAnElement panics in the decision of one element of a list: the edge goes on, and the others are decided.
func TestPanicOfAnElement(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, nil)
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	first, second := f.reserved(shopper, 1), f.reserved(shopper, 1)
	bad, _ := stock.ParseReservationID(strings.TrimPrefix(first, reservePath+"/"))
	decide := func(op stock.Op, r stock.Request) (batch.Result, error) {
		if r.ID == bad {
			panic("an element")
		}
		return batch.Result{Outcome: stock.Outcome{Reservation: stock.Reservation{ID: r.ID, State: stock.StateConfirmed}}}, nil
	}
	f.decide.Store(&decide)
	body := strings.ReplaceAll(fmt.Sprintf(`{"reservation_ids":[%q,%q]}`, first, second), reservePath+"/", "")
	got := f.do(call{method: "POST", path: reservePath + "/confirm", token: service, body: body})
	if got.status != 200 || !strings.Contains(got.body, `"code":"internal"`) || !strings.Contains(got.body, `"state":"confirmed"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// To the router the last word of a list's path may also be the id of a reservation.
func TestListsArePostedOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, op := range []string{"confirm", "release", "extend"} {
		for _, method := range []string{"GET", "OPTIONS", "PUT"} {
			got := f.do(call{method: method, path: reservePath + "/" + op, token: f.token(1, auth.RoleService)})
			if got.status != 405 || got.header.Get("Allow") != "POST" {
				t.Errorf("%s of %s: %d, Allow: %q", method, op, got.status, got.header.Get("Allow"))
			}
		}
	}
}
