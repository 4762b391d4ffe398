package command

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"sluice/bench/report"
	"sluice/bench/report/live"
)

// watchBench shows a run while it goes on: on a terminal by a view, elsewhere by a line now and then. The caller gives it
// each second that is over, and stops it.
func watchBench(ctx context.Context, c *Console, plan *report.Plan) (second func(report.Second, report.Latency), stop func()) {
	if !c.ErrIsTerminal {
		lines := &benchLines{c: c}
		return lines.second, func() {}
	}
	view := live.New(c.Err, c.size, plan, time.Now)
	ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // an interrupted run still shows how it ends
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		view.Run(ctx)
	}()
	return view.Second, func() {
		end()
		<-drawn
	}
}

// size is how large the terminal is that a person reads.
func (c *Console) size() (columns, rows int) {
	if file, ok := c.Err.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(file.Fd())); err == nil {
			return columns, rows
		}
	}
	return 80, 24
}

// benchLines shows a run by a line now and then.
type benchLines struct {
	c     *Console
	shown int // seconds
}

// second shows a second that is over.
func (b *benchLines) second(s report.Second, _ report.Latency) {
	if b.shown++; b.shown%int(lineEvery/time.Second) != 0 {
		return
	}
	var parts []string
	for _, word := range report.Words {
		if n := s.Outcomes[word]; n > 0 {
			parts = append(parts, number(n)+" "+strings.ReplaceAll(string(word), "_", " "))
		}
	}
	if parts == nil {
		parts = []string{"no answer"}
	}
	line := fmt.Sprintf("%3d s: %s planned, %s sent; %s; p99 %s", s.Second+1, number(s.Planned), number(s.Sent), strings.Join(parts, ", "), msText(s.P99MS))
	if s.StockLeft != nil {
		line += fmt.Sprintf("; %s left", number(*s.StockLeft))
	}
	if s.WarmUp {
		line += " (warm-up)"
	}
	b.c.Notef("%s", line)
}

func msText(ms float64) string { return report.Number(ms) + " ms" }

// bench writes a report as tables.
func (c *Console) bench(r *report.Report) {
	c.Printf("%s\n%s; sluice %s, %s, %d cores, seed %d\n\n", r.Plan.Text, timeText(r.Stamp.Start.UnixMilli()), r.Stamp.Sluice, r.Stamp.Redis, r.Stamp.Cores, r.Stamp.Seed)
	t := c.table()
	t.row("OUTCOME", "COUNT", "PER SECOND", "P50", "P90", "P99", "P99.9", "MAX")
	rows := func(of string, outcomes []report.Outcome) {
		for i := range outcomes {
			o := &outcomes[i]
			if o.Count == 0 && (of != "" || o.Name != report.Accepted) {
				continue
			}
			l := &o.Latency
			t.row(of+string(o.Name), number(o.Count), report.Number(o.PerSecond), msText(l.P50MS), msText(l.P90MS), msText(l.P99MS), msText(l.P999MS), msText(l.MaxMS))
		}
	}
	rows("", r.Outcomes)
	rows("shopper: ", r.Shoppers)
	for i := range r.Settles {
		rows(r.Settles[i].Call+": ", r.Settles[i].Outcomes)
	}
	t.flush()
	c.benchFairness(r.Fairness)
	c.benchGenerator(&r.Generator)
	for i := range r.Thresholds {
		threshold := &r.Thresholds[i]
		verdict := c.paint(green, "met")
		if !threshold.Met {
			verdict = c.paint(red, "missed")
		}
		c.Printf("%s: %s, with %s\n", threshold.Text, verdict, strings.TrimRight(report.Number(threshold.Value)+" "+threshold.Unit, " "))
	}
	c.benchTruth(&r.Truth)
	if r.Cut != nil {
		c.Printf("%s\n", c.paint(yellow, fmt.Sprintf("cut short after %.1f s: %s", r.Cut.AtMS/1e3, r.Cut.Why)))
	}
}

func (c *Console) benchFairness(f *report.Fairness) {
	if f == nil {
		return
	}
	c.Printf("\nfairness: a winner came before a loser with a chance of %.2f (1: first come, first served; 0.5: a lottery); %.1f %% of %s winners are among the first that came\n",
		f.InOrder, 100*f.FirstCome, number(f.Winners))
	if f.BotShoppers > 0 {
		c.Printf("bots: %.1f %% of those who came, %.1f %% of the winners\n", 100*f.BotShoppers, 100*f.BotWinners)
	}
}

func (c *Console) benchGenerator(g *report.Generator) {
	c.Printf("\ngenerator: %s of %s requests sent, %s late by itself, %s after waiting for a connection; %.0f %% of its CPU, %d connections\n",
		number(g.Sent), number(g.Planned), number(g.Late), number(g.Waited), 100*g.CPU, g.Peak)
	for _, why := range slices.Sorted(maps.Keys(g.UnsentWhy)) {
		c.Printf("%s never sent: %s\n", number(g.UnsentWhy[why]), why.Text())
	}
	for _, why := range g.Why {
		c.Printf("%s\n", c.paint(red, "bottleneck: "+why))
	}
}

func (c *Console) benchTruth(t *report.Truth) {
	color := map[report.Verdict]string{report.Right: green, report.Wrong: red, report.Unverified: yellow, report.NotJudged: yellow}[t.Verdict]
	units := func(n *int64) string {
		if n == nil {
			return "not read"
		}
		return number(*n)
	}
	c.Printf("truth: %s: shoppers were told of %s units (unknown to them: %s), Redis gave away %s, MySQL has %s\n",
		c.paint(color, strings.ReplaceAll(string(t.Verdict), "_", " ")), number(t.AcceptedUnits), number(t.UnknownUnits), units(t.RedisUnits), units(t.MySQLUnits))
	for _, reason := range t.Reasons {
		c.Printf("  %s\n", reason)
	}
}
