package redisstock

import (
	"slices"
	"strings"
	"testing"

	"sluice/core/stock"
)

// TestGivenUpCallKeepsItsBytes lets calls fail as if they had been given up while they were in the client's queue. They
// may still be sent, so neither later calls nor changes of the requests may change their bytes.
func TestGivenUpCallKeepsItsBytes(t *testing.T) {
	t.Parallel()
	client := newSpy(t)
	s, err := New(client, Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Trust([]stock.Mark{{Nonce: 1}})
	var sent [][]string
	requests := make([]stock.Request, 3)
	for round := range int64(4) {
		for i := range requests {
			n := 100*round + int64(i)
			requests[i] = stock.Request{
				ID: stock.ReservationID{2: byte(n), 3: byte(n >> 8)}, Cell: stock.Cell{SKU: 1 + n}, User: 1 + n, Quantity: 1 + n,
				Fence: stock.Position{Epoch: 1, Seq: uint64(n)},
			}
		}
		v := &stock.Vector{Op: stock.OpReserve, Requests: requests}
		if s.Do(t.Context(), v); v.Err == nil {
			t.Fatal("the spy's call did not fail")
		}
		sent = append(sent, deepCopy(client.sent[round]))
	}
	clear(requests)
	for round, command := range client.sent {
		if !slices.Equal(command, sent[round]) {
			t.Errorf("call %d has changed since:\n%q\n%q", round, sent[round], command)
		}
	}
}

func deepCopy(command []string) []string {
	whole := make([]string, len(command))
	for i, arg := range command {
		whole[i] = strings.Clone(arg)
	}
	return whole
}

// TestFences sends the highest position of each cell, whoever has seen it.
func TestFences(t *testing.T) {
	t.Parallel()
	a, b := stock.Cell{SKU: 1}, stock.Cell{SKU: 2}
	at := func(cell stock.Cell, epoch uint32, seq uint64) stock.Request {
		return stock.Request{Cell: cell, Fence: stock.Position{Epoch: epoch, Seq: seq}}
	}
	f := func(want []stock.Request, requests ...stock.Request) {
		t.Helper()
		c := newCall()
		c.findCells(requests)
		c.addFences(requests)
		var fences []byte
		for _, r := range want {
			fences = appendPosition(fences, r.Fence)
		}
		if got := c.args[0]; got != string(fences) {
			t.Errorf("fences %x, want %x", got, fences)
		}
	}
	f([]stock.Request{at(a, 1, 1)}, at(a, 1, 1))
	f([]stock.Request{at(a, 1, 2)}, at(a, 1, 1), at(a, 1, 2), at(a, 1, 1))
	f([]stock.Request{at(a, 2, 1)}, at(a, 1, 9), at(a, 2, 1))
	f([]stock.Request{at(a, 1, 1), at(b, 1, 3)}, at(a, 1, 1), at(b, 1, 2), at(a, 0, 0), at(b, 1, 3))
}
