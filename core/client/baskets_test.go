package client

import (
	"io"
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
	in := Deployment{Partitions: partitions}
	f := func(got string, err error, route stock.Op, user int64, cell stock.Cell, key string) {
		t.Helper()
		if want := (stock.Identity{User: user, Route: route, Cell: cell, Key: key}).ID(partitions).String(); err != nil || got != want {
			t.Errorf("id %s, error %v; want %s", got, err, want)
		}
	}
	take := Take{SKU: 5, Quantity: 2, Sale: 7, User: 42, Key: "k"}
	id, err := take.ReservationID(false, in)
	f(id, err, stock.OpReserve, 42, stock.Cell{SKU: 5, Pool: 7}, "k")
	id, err = take.ReservationID(true, in)
	f(id, err, stock.OpDeduct, 42, stock.Cell{SKU: 5, Pool: 7}, "k")
	id, err = Return{SKU: 5, Quantity: 2, User: 42, Key: "refund"}.ReservationID(in)
	f(id, err, stock.OpReturn, 42, stock.Cell{SKU: 5}, "refund")

	basket := Basket{Items: []Item{{9, 1, 0}, {5, 1, 7}, {9, 2, 0}}, User: 42, Key: "k"}
	ids, err := basket.ReservationIDs(in)
	if err != nil || len(ids) != 3 || ids[0] != ids[2] {
		t.Fatalf("ids %v, error %v", ids, err)
	}
	f(ids[0], nil, stock.OpGather, 42, stock.Cell{SKU: 9}, "k")
	f(ids[1], nil, stock.OpGather, 42, stock.Cell{SKU: 5, Pool: 7}, "k")
	if slices.Contains(ids, id) {
		t.Error("a basket's line has the id of another request")
	}
	for _, b := range []Basket{{Items: basket.Items, Key: "k"}, {Items: basket.Items, User: 42}, {User: 42, Key: "k"}} {
		if ids, err := b.ReservationIDs(in); err == nil {
			t.Errorf("%+v has ids %v", b, ids)
		}
	}
	if id, err := (Take{SKU: 1, User: 1, Key: "k"}).ReservationID(false, Deployment{}); err == nil {
		t.Errorf("id %s without partitions", id)
	}
}

// A shop says when it first sent a return, so that an edge looks up a return whose key may be forgotten. For a new
// return it says nothing.
func TestReturnsSayWhenTheyWereAsked(t *testing.T) {
	t.Parallel()
	var sent string
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent = r.Method + " " + r.URL.Path + " " + string(body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(strings.Replace(held, `"held"`, `"returned"`, 1)))
	}))
	defer edge.Close()
	c, err := New(Config{URL: edge.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	back := Return{SKU: 1001, Quantity: 1, User: 42, Reason: "did not fit", Key: "refund"}
	for _, step := range []struct {
		asked time.Time
		want  string
	}{
		{time.Time{}, `"reason":"did not fit"}`},
		{time.Date(2026, 11, 1, 13, 0, 0, 5e6, time.FixedZone("", 3600)), `"reason":"did not fit","asked_at":"2026-11-01T12:00:00.005Z"}`},
	} {
		back.Asked = step.asked
		if got, err := c.Return(t.Context(), back); err != nil || got.State != StateReturned || !strings.HasPrefix(sent, "POST /v1/returns ") || !strings.HasSuffix(sent, step.want) {
			t.Errorf("asked %v: sent %s, got %+v, error %v", step.asked, sent, got, err)
		}
	}
}
