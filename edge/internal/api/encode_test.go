package api

import (
	"strings"
	"testing"
	"time"

	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/text"
)

func TestTextsOfRowsShowThemselves(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b\u009b\u202e\u2028\U000E0041\"\\\xff葛"
	const want = `"a\u001b\u009b\u202e\u2028\udb40\udc41\"\\` + "\ufffd葛\""
	if got := string(text.AppendJSON(nil, hostile)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	view := string(appendView(nil, show.SaleOf(&sale.Sale{Plan: sale.Plan{Name: hostile}})))
	if !strings.Contains(view, `"name":`+want[:len(want)-len("\ufffd葛\"")]) || strings.ContainsFunc(view, func(r rune) bool { return !text.Plain(r) }) {
		t.Errorf("a sale: %s", view)
	}
}

func TestAppendTime(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]string{
		0: "1970-01-01T00:00:00.000Z", 1: "1970-01-01T00:00:00.001Z", 999: "1970-01-01T00:00:00.999Z",
		1772366400000: "2026-03-01T12:00:00.000Z", stock.TimeMaxMS: "10889-08-02T05:31:50.655Z",
	} {
		if got := string(appendTime(nil, ms)); got != want || want != time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("%d: %s, want %s", ms, got, want)
		}
	}
}
