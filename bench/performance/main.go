// Performance measures what docs/performance.md says, and writes it. Each measurement is a command whose figures become a report in
// docs/performance. The page is its text, in bench/performance/page, with the figures of the reports: nobody edits a figure.
//
//	go run ./bench/performance                      # measures all, and writes the page
//	go run ./bench/performance --only http,engine   # measures these anew
//	go run ./bench/performance --quick              # tries all commands at a small size, and writes into bin/quick
//	go run ./bench/performance --render             # writes the page from the reports that there are
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	page       = "docs/performance.md"
	reportsDir = "docs/performance"
	quickDir   = "bin/quick"

	exitWrongUse = 2
	exitSignal   = 130
)

func main() {
	flags := flag.NewFlagSet("performance", flag.ExitOnError)
	only := flags.String("only", "", "measure these only, by names with commas between them")
	quick := flags.Bool("quick", false, "measure at a size for trying, and write into "+quickDir)
	render := flags.Bool("render", false, "measure nothing: write the page from the reports that there are")
	list := flags.Bool("list", false, "list the measurements")
	_ = flags.Parse(os.Args[1:]) // it exits
	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	work, err := chosen(names)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *render && (*quick || *only != ""):
		err = errors.New("--render measures nothing: it takes neither --quick nor --only")
	}
	if err == nil {
		_, err = os.Stat("go.mod")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "performance:", err)
		os.Exit(exitWrongUse)
	}
	if *list {
		for i := range work {
			fmt.Printf("%-13s %s\n              %s\n", work[i].name, work[i].question, work[i].of(*quick))
		}
		return
	}
	dir, to := reportsDir, page
	if *quick {
		dir, to = quickDir, filepath.Join(quickDir, filepath.Base(page))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if !*render {
		err = measureAll(ctx, os.Stdout, work, dir, *quick)
	}
	interrupted := ctx.Err() != nil
	stop()
	if err = errors.Join(err, finish(os.Stdout, dir, to, *quick && *only != "")); err != nil {
		fmt.Fprintln(os.Stderr, "performance:", err)
	}
	switch {
	case interrupted:
		os.Exit(exitSignal)
	case err != nil:
		os.Exit(1)
	}
}

// finish writes the page. Who tries some measurements may lack the reports of others, and needs no page.
func finish(out io.Writer, dir, to string, some bool) error {
	err := writePage(dir, to)
	if some && err != nil {
		_, err = fmt.Fprintf(out, "no page: %v\n", err)
	}
	return err
}

// measureAll measures one after the other, and keeps each report at once. One that fails keeps the report it had, and the others go on.
func measureAll(ctx context.Context, out io.Writer, work []measurement, dir string, quick bool) error {
	say := func(format string, values ...any) { _, _ = fmt.Fprintf(out, format, values...) }
	took := map[string]time.Duration{}
	old, err := readReports(dir)
	for i := range work {
		m := &work[i]
		took[m.name] = m.takes
		if quick {
			took[m.name] /= 8
		}
		if r := old[m.name]; r != nil && r.Quick == quick {
			took[m.name] = time.Duration(r.TookS * float64(time.Second))
		}
	}
	if err != nil {
		say("%v\n", err) // most of all a command that has changed; it may be one of those to measure
	}
	var failed error
	for i := range work {
		m := &work[i]
		var left time.Duration
		for _, next := range work[i:] {
			left += took[next.name]
		}
		say("%d of %d, %s: %s\n    %s\n    about %s; about %s to go\n", i+1, len(work), m.name, m.question, m.of(quick), rough(took[m.name]), rough(left))
		r, err := measure(ctx, m, quick)
		if ctx.Err() != nil {
			return errors.Join(failed, fmt.Errorf("ended during %s: what was measured before is kept", m.name))
		}
		if err == nil {
			err = r.write(dir)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", m.name, err)
			say("    FAILED, and keeps the report that it had: %v\n", err)
			failed = errors.Join(failed, err)
			continue
		}
		say("    took %s; %s\n", rough(time.Duration(r.TookS*float64(time.Second))), r.quiet())
	}
	return failed
}

// rough rounds a time to what one plans by.
func rough(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}

// measure runs a command to its end. Its servers keep their files in a directory that goes with it.
func measure(ctx context.Context, m *measurement, quick bool) (r *report, err error) {
	dir, err := os.MkdirTemp("", "perf") // short: sockets are in it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r = &report{Name: m.name, Command: m.of(quick), Quick: quick, Start: time.Now().UTC().Truncate(time.Second), LoadS: load(), stamp: newStamp(ctx)}
	cmd := exec.CommandContext(ctx, "sh", "-c", m.of(quick))
	inGroup(cmd)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "REQUIRE_SERVICES=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	before, known := busy()
	begun := time.Now()
	err = cmd.Run()
	took := time.Since(begun)
	if err != nil {
		return nil, fmt.Errorf("%w: it ended with\n%s", err, tail(stdout.String()+stderr.String()))
	}
	if now, _ := busy(); known {
		others := max(0, (now-before-used(cmd.ProcessState)).Seconds()/took.Seconds())
		r.Others = &others
	}
	r.TookS = took.Seconds()
	read := m.read
	if read == nil {
		read = readBenchmarks
	}
	if r.Rows, err = read(stdout.Bytes()); err != nil {
		return nil, fmt.Errorf("%w: it ended with\n%s", err, tail(stdout.String()+stderr.String()))
	}
	return r, nil
}

// tail is the end of a text.
func tail(text string) string {
	const lines = 12
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range all {
		all[i] = "        " + all[i][:min(len(all[i]), 200)]
	}
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
