package command

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/core/config"
	"sluice/core/reconcile/journal"
)

// historyMax is the largest number of runs in a list.
const historyMax = 2000

// ReconcileHistory shows the results of the comparisons of persisters.
type ReconcileHistory struct {
	Books `embed:""`

	Format string `name:"output" short:"o" enum:"table,json,csv" default:"table" placeholder:"FORMAT" help:"Show a table, json or csv."`
	Since  string `default:"1h" placeholder:"TIME" help:"Show runs that ended after this time (RFC 3339), or within this duration."`
	RunID  int64  `name:"run" placeholder:"ID" between:"1-9223372036854775807" help:"Show the findings of this run, and since when each has been so."`
	Open   bool   `help:"Show open findings."`
}

// Help is called by kong.
func (ReconcileHistory) Help() string {
	return `Persisters compare all stores again and again. They keep the result of each run for seven days. They keep a finding from
when it was first seen until it is gone, and 90 days longer.

Examples:
  sluice reconcile history
  sluice reconcile history --since 24h -o csv
  sluice reconcile history --run 1200
  sluice reconcile history --open -o json`
}

// Validate joins all faults.
func (r *ReconcileHistory) Validate() error {
	var f config.Faults
	f.Include(r.Books.Validate())
	if _, err := timeOrAgo(r.Since, time.Unix(0, 0)); err != nil {
		f.Include(fmt.Errorf("since: %w", err))
	}
	if r.RunID != 0 && r.Open {
		f.Include(errors.New("run, open: choose one"))
	}
	return f.Err()
}

// Run is called by kong.
func (r *ReconcileHistory) Run(ctx context.Context, c *Console) error {
	db, err := r.MySQL.Open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	kept := journal.New(db)
	switch {
	case r.Open:
		return r.findings(c, func(yield func(*journal.Finding)) error { return kept.Open(ctx, yield) })
	case r.RunID != 0:
		run, err := kept.Run(ctx, uint64(r.RunID))
		if err != nil {
			return err
		}
		if run == nil {
			return notFound(fmt.Errorf("there is no run %d: sluice reconcile history lists those that are kept", r.RunID))
		}
		return r.findings(c, func(yield func(*journal.Finding)) error { return kept.Of(ctx, run, yield) })
	}
	since, err := timeOrAgo(r.Since, time.Now())
	if err != nil {
		return err
	}
	runs := []*journal.Run{}
	err = kept.Runs(ctx, since, historyMax, func(run *journal.Run) { runs = append(runs, run) })
	if err != nil {
		return err
	}
	return r.runs(c, runs)
}

func (r *ReconcileHistory) runs(c *Console, runs []*journal.Run) error {
	if r.Format == "json" {
		return c.JSON(map[string]any{"runs": runs})
	}
	rows := make([][]string, len(runs))
	for i, run := range runs {
		verdict := string(run.Verdict)
		if run.Unread != "" {
			verdict += ": " + run.Unread
		}
		rows[i] = []string{
			strconv.FormatUint(run.ID, 10), timeText(int64(run.BegunAt)), strconv.FormatFloat(run.Seconds, 'f', 1, 64), string(run.Sweep),
			strconv.FormatInt(run.Cells, 10), strconv.FormatInt(run.InFlight, 10), strconv.FormatInt(run.Drift, 10), strconv.FormatInt(run.Unverified, 10),
			strconv.FormatInt(run.Findings, 10), run.By, verdict,
		}
	}
	if len(rows) == 0 {
		c.Notef("no run since %s: see whether a persister runs", r.Since)
	}
	return r.write(c, []string{"run", "begun", "seconds", "sweep", "cells", "in_flight", "drift", "unverified", "findings", "by", "verdict"}, rows)
}

func (r *ReconcileHistory) findings(c *Console, read func(func(*journal.Finding)) error) error {
	found := []*journal.Finding{}
	if err := read(func(f *journal.Finding) { found = append(found, f) }); err != nil {
		return err
	}
	if r.Format == "json" {
		return c.JSON(map[string]any{"findings": found})
	}
	rows := make([][]string, len(found))
	for i, f := range found {
		gone := ""
		if f.GoneAt != 0 {
			gone = timeText(int64(f.GoneAt))
		}
		rows[i] = []string{
			string(f.Type), findingTitle(&f.Finding), strconv.FormatInt(f.Units, 10), string(f.Direction), timeText(int64(f.Since)), timeText(int64(f.FirstSeen)),
			timeText(int64(f.LastSeen)), gone, f.Repair,
		}
	}
	return r.write(c, []string{"type", "stock_of", "units", "direction", "since", "first_seen", "last_seen", "gone", "repair"}, rows)
}

// write writes rows as a table, or as csv.
func (r *ReconcileHistory) write(c *Console, header []string, rows [][]string) error {
	if r.Format == "table" {
		t := c.table()
		titles := make([]string, len(header))
		for i, name := range header {
			titles[i] = strings.ToUpper(strings.ReplaceAll(name, "_", " "))
		}
		for _, row := range append([][]string{titles}, rows...) {
			cells := make([]any, len(row))
			for i := range row {
				cells[i] = row[i]
			}
			t.row(cells...)
		}
		t.flush()
		return nil
	}
	var text bytes.Buffer
	to := csv.NewWriter(&text)
	err := to.WriteAll(append([][]string{header}, rows...))
	c.Write(text.Bytes())
	return err
}
