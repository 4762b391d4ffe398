package reconcile_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// The page is well-formed, needs nothing from elsewhere, and shows whatever text as text.
func TestPageIsWhole(t *testing.T) {
	t.Parallel()
	const hostile = `</td><script>alert("x")</script>`
	r := reconcile.Unreadable(reconcile.InKafka, time.UnixMilli(startMS), errors.New(hostile))
	cell := stock.Cell{SKU: 1001, Pool: 7}
	r.Findings = []reconcile.Finding{{
		Type: reconcile.Gap, SKU: 1001, Pool: 7, Units: 3, Direction: reconcile.Undersell, Since: startMS, Repair: "apply_events",
		Proof: []reconcile.Proof{{Store: reconcile.InLedger, Says: hostile, Epoch: 1, Seq: 2, Units: 3, Counters: &reconcile.Counted{Avail: 5}}},
	}}
	step := reconcile.Step{Ledger: true, Note: hostile}
	step.Kind, step.Position, step.Quantity, step.TimeMS = event.KindReserve, stock.Position{Epoch: 1, Seq: 1}, 3, startMS
	missing := reconcile.Step{Missing: true}
	missing.Position = stock.Position{Epoch: 1, Seq: 2}
	r.Trails = []reconcile.Trail{{Cell: cell, Class: reconcile.Drift, Findings: r.Findings, Steps: []reconcile.Step{step, missing}, LeftOut: 4}}
	var page strings.Builder
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, part := range []string{
		`<html lang="en">`, "Unverified since 2023-11-14 22:13:20.000Z", `<a href="#c-1001-7-0">1001</a>`, `<section id="c-1001-7-0"`,
		"ledger: &lt;/td&gt;&lt;script&gt;", "nobody has it", "4 earlier steps", "prefers-color-scheme: dark",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing", part)
		}
	}
	for _, outside := range []string{"<script", "http:", "https:", "@import", "url("} {
		if strings.Contains(text, outside) {
			t.Errorf("%q is there", outside)
		}
	}
	decoder := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!DOCTYPE html>")))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}
