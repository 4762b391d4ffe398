package client

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/stock"
)

// Ids that a shop computes before it asks are those that the edge gives.
func TestIDsFollowFromRequests(t *testing.T) {
	t.Parallel()
	const partitions = 64
	f := func(got string, err error, route stock.Op, user int64, cell stock.Cell, key string) {
		t.Helper()
		if want := (stock.Identity{User: user, Route: route, Cell: cell, Key: key}).ID(partitions).String(); err != nil || got != want {
			t.Errorf("id %s, error %v; want %s", got, err, want)
		}
	}
	take := Take{SKU: 5, Quantity: 2, Sale: 7, User: 42, Key: "k"}
	id, err := take.ReservationID(false, partitions)
	f(id, err, stock.OpReserve, 42, stock.Cell{SKU: 5, Pool: 7}, "k")
	id, err = take.ReservationID(true, partitions)
	f(id, err, stock.OpDeduct, 42, stock.Cell{SKU: 5, Pool: 7}, "k")
	id, err = Return{SKU: 5, Quantity: 2, User: 42, Key: "refund"}.ReservationID(partitions)
	f(id, err, stock.OpReturn, 42, stock.Cell{SKU: 5}, "refund")

	basket := Basket{Items: []Item{{9, 1, 0}, {5, 1, 7}, {9, 2, 0}}, User: 42, Key: "k"}
	ids, err := basket.ReservationIDs(partitions)
	if err != nil || len(ids) != 3 || ids[0] != ids[2] {
		t.Fatalf("ids %v, error %v", ids, err)
	}
	f(ids[0], nil, stock.OpGather, 42, stock.Cell{SKU: 9}, "k")
	f(ids[1], nil, stock.OpGather, 42, stock.Cell{SKU: 5, Pool: 7}, "k")
	if slices.Contains(ids, id) {
		t.Error("a basket's line has the id of another request")
	}
	for _, b := range []Basket{{Items: basket.Items, Key: "k"}, {Items: basket.Items, User: 42}, {User: 42, Key: "k"}} {
		if ids, err := b.ReservationIDs(partitions); err == nil {
			t.Errorf("%+v has ids %v", b, ids)
		}
	}
	if id, err := (Take{SKU: 1, User: 1, Key: "k"}).ReservationID(false, 0); err == nil {
		t.Errorf("id %s without partitions", id)
	}
}

// A return whose key may be forgotten is looked up, and never sent again.
func TestOldReturnsAreLookedUp(t *testing.T) {
	t.Parallel()
	const partitions = 64
	var asked []string
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(strings.Replace(held, `"held"`, `"returned"`, 1)))
	}))
	defer edge.Close()
	back := Return{SKU: 1001, Quantity: 1, User: 42, Reason: "did not fit", Key: "refund"}
	id, err := back.ReservationID(partitions)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		age, retention time.Duration
		partitions     int
		want           string // "": an error, and nothing is asked
	}{
		{0, 0, 0, "POST /v1/returns"},
		{11 * time.Hour, 0, 0, "POST /v1/returns"},
		{13 * time.Hour, 0, partitions, "GET /v1/returns/" + id},
		{13 * time.Hour, 48 * time.Hour, partitions, "POST /v1/returns"},
		{13 * time.Hour, 0, 0, ""},
	} {
		c, err := New(Config{URL: edge.URL, Partitions: step.partitions, Retention: step.retention})
		if err != nil {
			t.Fatal(err)
		}
		if back.Asked = (time.Time{}); step.age > 0 {
			back.Asked = time.Now().Add(-step.age)
		}
		asked = nil
		got, err := c.Return(t.Context(), back)
		c.Close()
		if sent := strings.Join(asked, ", "); sent != step.want || (err != nil) != (step.want == "") || err == nil && got.State != StateReturned {
			t.Errorf("%+v: asked %q, got %+v, error %v", step, sent, got, err)
		}
	}
}
