package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/lifecycle"
	"sluice/core/local"
	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/telemetry"
)

const (
	copyReadyWithin   = 2 * time.Minute
	copyStopWithin    = time.Minute
	copySettledWithin = 2 * time.Minute       // for MySQL to catch up after a step
	copyHoldMin       = 10 * time.Minute      // so that no unit comes back while a step is judged
	copyWarmUpUnits   = stock.QuantityMax * 9 // of the SKU that only warms up
)

// saleCopy is a private stack with copies of a sale, one for each step. Its programs know nothing of the environment's
// addresses, so that none of them reaches the deployment whose sale it is.
type saleCopy struct {
	plan    sale.Plan
	warmUp  int64 // a SKU that only warms up
	program string
	dir     string
	stack   *DevStack
	parts   lifecycle.Stack
}

// startCopy starts a private stack and gives it so many copies of a sale, with the ids from 1 on. The caller stops the
// parts, also after an error.
func startCopy(ctx context.Context, plan sale.Plan, copies int) (*saleCopy, error) {
	c := &saleCopy{plan: plan, warmUp: 1}
	for slices.ContainsFunc(plan.Items, func(i sale.Allotment) bool { return i.SKU == c.warmUp }) {
		c.warmUp++
	}
	var err error
	if c.program, err = os.Executable(); err != nil {
		return c, fmt.Errorf("find this program: %w", err)
	}
	if c.dir, err = os.MkdirTemp("", "sluice-rehearsal-"); err != nil {
		return c, fmt.Errorf("make directory of the copy: %w", err)
	}
	c.parts.Later("remove the copy", func(context.Context) error { return os.RemoveAll(c.dir) })
	if err := c.start(ctx); err != nil {
		return c, fmt.Errorf("start the copy: %w", err)
	}
	if err := c.fill(ctx, copies); err != nil {
		return c, fmt.Errorf("fill the copy: %w", err)
	}
	return c, nil
}

func (c *saleCopy) file() DevFile { return DevFile{Path: filepath.Join(c.dir, "stack", "dev.json")} }

func (c *saleCopy) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, copyReadyWithin)
	defer cancel()
	const anyPort = "127.0.0.1:0"
	program, err := local.StartProgram(ctx, filepath.Join(c.dir, "log"), local.ProgramOptions{
		Path: c.program,
		Args: []string{"dev", "--dir", filepath.Dir(c.file().Path), "--no-sample", "--listen", anyPort, "--ops-listen", anyPort, "--dev-listen", anyPort},
		Env:  func([]string) []string { return c.env() },
		Ready: func(ctx context.Context, _ []string) error {
			stack, err := c.file().read()
			if err != nil || stack == nil {
				return errors.Join(errors.New("it has not written its addresses yet"), err)
			}
			c.stack = stack
			return telemetry.AskReady(ctx, strings.TrimPrefix(stack.OpsURL, "http://"))
		},
		Grace: copyStopWithin,
	})
	if err != nil {
		return err
	}
	c.parts.Later("stop the copy", func(context.Context) error { return program.Stop() })
	return nil
}

func (c *saleCopy) env() []string { return append(local.Unset(), "SLUICE_DEV_FILE="+c.file().Path) }

// run runs a command of sluice on the copy, and returns its result and its exit code.
func (c *saleCopy) run(ctx context.Context, stdin string, args ...string) ([]byte, int, error) {
	cmd := exec.CommandContext(ctx, c.program, args...) //nolint:gosec // G204: it is this program
	cmd.Env, cmd.Stdin = c.env(), strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, ExitInterrupted, ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("sluice %s: %w: %s", strings.Join(args[:2], " "), err, lastLine(said.String()))
	}
	return out, cmd.ProcessState.ExitCode(), err
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// fill loads the stock of all copies, makes them and opens them.
func (c *saleCopy) fill(ctx context.Context, copies int) error {
	var all, each strings.Builder
	header := "sku_id,quantity\n"
	all.WriteString(header)
	each.WriteString(header)
	for _, item := range append(slices.Clone(c.plan.Items), sale.Allotment{SKU: c.warmUp, Quantity: copyWarmUpUnits}) {
		if item.Quantity > stock.UnitsMax/int64(copies) {
			return fmt.Errorf("SKU %d: %d units in each of %d steps are more than a SKU can have: want fewer steps", item.SKU, item.Quantity, copies)
		}
		fmt.Fprintf(&all, "%d,%d\n", item.SKU, item.Quantity*int64(copies))
		fmt.Fprintf(&each, "%d,%d\n", item.SKU, item.Quantity)
	}
	if _, _, err := c.run(ctx, all.String(), "stock", "load", "--yes", "-"); err != nil {
		return err
	}
	items := filepath.Join(c.dir, "items.csv")
	if err := os.WriteFile(items, []byte(each.String()), 0o600); err != nil {
		return err
	}
	ack := c.plan.Ack
	if ack == stock.AckReplica {
		ack = stock.AckRedis // the copy has no replica
	}
	for id := 1; id <= copies; id++ {
		name := strconv.Itoa(id)
		_, _, err := c.run(ctx, "", "sale", "create", name, "--yes", "--name", "rehearsal "+name, "--items-file", items,
			"--limit", strconv.FormatInt(c.plan.Limit, 10), "--hold", max(c.plan.Hold, copyHoldMin).String(), "--ack", ack.String())
		if err == nil {
			_, _, err = c.run(ctx, "", "sale", "open", name, "--yes")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gone is how many units of a copy's stock are held or sold. It waits until MySQL has all of them, so that the next step
// does not pay for this one, and compares the stores.
func (c *saleCopy) gone(ctx context.Context, id int) (units int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, copySettledWithin, errCopyBehind)
	defer cancel()
	defer func() {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	for {
		out, code, err := c.run(ctx, "", "reconcile", "report", "--sale", strconv.Itoa(id), "-o", "json")
		if code != ExitDone && code != ExitDrift && err != nil {
			return 0, err
		}
		var report struct {
			Summary struct {
				InFlight int64 `json:"in_flight"`
			} `json:"summary"`
		}
		if err := json.Unmarshal(out, &report); err != nil {
			return 0, fmt.Errorf("sluice reconcile: %w", err)
		}
		if code == ExitDrift {
			return 0, errCopyDrift
		}
		if report.Summary.InFlight == 0 {
			break
		}
		if !lifecycle.Pause(ctx, time.Second) {
			return 0, errCopyBehind
		}
	}
	out, _, err := c.run(ctx, "", "sale", "show", strconv.Itoa(id), "-o", "json")
	if err != nil {
		return 0, err
	}
	var shown show.Sale
	if err := json.Unmarshal(out, &shown); err != nil {
		return 0, fmt.Errorf("sluice sale show: %w", err)
	}
	for i := range shown.Items {
		if item := &shown.Items[i]; int64(item.SKU) != c.warmUp {
			units += item.Held + item.Sold
		}
	}
	return units, nil
}

var (
	// errCopyDrift means that the stores of the copy differ.
	errCopyDrift = errors.New("the stores of the copy differ")
	// errCopyBehind means that MySQL did not get what was sold.
	errCopyBehind = fmt.Errorf("MySQL has not caught up within %v: the copy's persister is slower than its edge", copySettledWithin)
)
