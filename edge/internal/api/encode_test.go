package api

import (
	"strings"
	"testing"

	"sluice/core/sale"
	"sluice/core/show"
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
