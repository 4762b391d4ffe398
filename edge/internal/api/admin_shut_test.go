package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"sluice/core/auth"
	"sluice/core/stock"
)

// TestShutCellsByPages lists shut cells over several requests. Each stops where it has enough.
func TestShutCellsByPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.shut = map[int][][]stock.CellState{}
	want := 0
	for p := range partitions {
		for range 3 { // steps
			var found []stock.CellState
			for range 40 {
				want++
				found = append(found, stock.CellState{Cell: stock.Cell{SKU: int64(want)}, Loaded: true, Fenced: true})
			}
			f.shut[p] = append(f.shut[p], found)
		}
	}
	admin := f.token(1, auth.RoleAdmin)
	got, pages := 0, 0
	for cursor := ""; ; pages++ {
		path := "/admin/v1/shut-cells"
		if cursor != "" {
			path += "?cursor=" + cursor
		}
		answer := f.do(call{method: "GET", path: path, token: admin})
		var page struct {
			Data []struct {
				SKU string `json:"sku_id"`
			}
			Next string `json:"next_cursor"`
			AsOf string `json:"as_of"`
		}
		if err := json.Unmarshal([]byte(answer.body), &page); err != nil || answer.status != 200 {
			t.Fatalf("%d %s: %v", answer.status, answer.body, err)
		}
		if page.AsOf != "2026-03-01T12:00:00.000Z" {
			t.Errorf("as of %q", page.AsOf)
		}
		if len(page.Data) > shutCells+40 {
			t.Errorf("a page of %d cells", len(page.Data))
		}
		got += len(page.Data)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if got != want || pages < want/(shutCells+40) {
		t.Errorf("%d cells on %d pages, want %d", got, pages, want)
	}
	for range booksAtOnce {
		f.api.books <- struct{}{}
	}
	if answer := f.do(call{method: "GET", path: "/admin/v1/shut-cells", token: admin}); answer.code() != "overloaded" {
		t.Errorf("with enough lists being read: %s", answer.body)
	}
	for range booksAtOnce {
		<-f.api.books
	}
	for _, cursor := range []string{"", "x", "1", "1.x", "-1.0", "99999.0", "0.0.0", strconv.Itoa(partitions) + ".0"} {
		if answer := f.do(call{method: "GET", path: "/admin/v1/shut-cells?cursor=" + cursor, token: admin}); answer.status != 400 {
			t.Errorf("cursor %q: %d %s", cursor, answer.status, answer.body)
		}
	}
	if answer := f.do(call{method: "GET", path: "/admin/v1/shut-cells", token: f.token(1, auth.RoleService)}); answer.status != 403 {
		t.Errorf("for a service: %d %s", answer.status, answer.body)
	}
}

// TestShutCellsOfASlowRedis lists cells although looking at all of them takes longer than a request may.
func TestShutCellsOfASlowRedis(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.shutTakes = shutTime * 2 / 3
	last := stock.CellState{Cell: stock.Cell{SKU: 7}, Loaded: true, Fenced: true}
	f.shut = map[int][][]stock.CellState{partitions - 1: {{last}}}
	path, admin := "/admin/v1/shut-cells", f.token(1, auth.RoleAdmin)
	first := f.do(call{method: "GET", path: path, token: admin})
	if first.status != 200 || !strings.Contains(first.body, `"data":[],"next_cursor":"2.0"`) {
		t.Fatalf("%d %s, want a page that ends in time", first.status, first.body)
	}
	if rest := f.do(call{method: "GET", path: path + "?cursor=2.0", token: admin}); rest.status != 200 || !strings.Contains(rest.body, `"sku_id":"7"`) {
		t.Errorf("%d %s", rest.status, rest.body)
	}
}
