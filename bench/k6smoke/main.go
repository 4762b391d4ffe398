// K6smoke runs every scenario of k6/ for a few seconds against a sluice dev of its own, by the stand-in for k6 of
// bench/k6run. All thresholds must hold. Afterwards sluice reconcile compares the whole stock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sluice/bench/devstack"
	"sluice/bench/k6run"
)

// settings make each scenario short. What the machine can do is no matter here, so bounds on time are wide.
var settings = map[string]map[string]string{
	"flash_sale":  {"RATE": "60", "UNITS": "150", "DURATION": "4s"},
	"checkout":    {"RATE": "20", "DURATION": "5s", "SKUS": "4", "HOLD_S": "5"},
	"soak":        {"RATE": "10", "DURATION": "5s", "SKUS": "2", "HOLD_S": "5"},
	"retry_storm": {"RATE": "15", "DURATION": "5s", "UNITS": "40"},
	"bots":        {"RATE": "10", "BOT_RATE": "40", "BOTS": "5", "DURATION": "5s"},
}

var wide = map[string]string{"P95_MS": "10000", "DROPPED_MAX": "20", "FAILED_PART": "0.05"}

func main() {
	dir := flag.String("dir", "k6", "directory of the scenarios")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "k6smoke:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir string) (err error) {
	scripts, err := filepath.Glob(filepath.Join(dir, "*.ts"))
	if err != nil || len(scripts) == 0 {
		return errors.Join(err, fmt.Errorf("no scenarios in %s", dir))
	}
	stack, err := devstack.Start(ctx, "k6smoke")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Stop()) }()
	var failed error
	for _, script := range scripts {
		name := nameOf(script)
		if settings[name] == nil {
			return fmt.Errorf("%s: its settings are missing in bench/k6smoke", script)
		}
		start := time.Now()
		err := scenario(ctx, out, script, stack, settings[name])
		_, _ = fmt.Fprintf(out, "%s took %.1f s\n", script, time.Since(start).Seconds())
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", script, err))
		}
	}
	compared, err := stack.Sluice(ctx, "reconcile")
	_, _ = fmt.Fprintln(out, compared)
	return errors.Join(failed, err)
}

func scenario(ctx context.Context, out io.Writer, script string, stack *devstack.Stack, own map[string]string) error {
	env := maps.Clone(wide)
	maps.Copy(env, own)
	env["DEV_FILE"], env["OUT"] = stack.DevFile(), stack.Dir
	result, err := k6run.Run(ctx, k6run.Config{Script: script, Env: env, Out: out, Err: os.Stderr})
	if err := errors.Join(err, result.Err()); err != nil {
		return err
	}
	// Every scenario leaves its report in both forms.
	for _, form := range []string{".json", ".html"} {
		if _, err := os.Stat(filepath.Join(stack.Dir, nameOf(script)+form)); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

func nameOf(script string) string { return strings.TrimSuffix(filepath.Base(script), ".ts") }
