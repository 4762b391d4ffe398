package k6run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"
)

// Config says what to run.
type Config struct {
	Script string
	Env    map[string]string // __ENV
	Out    io.Writer         // what handleSummary gives to stdout
	Err    io.Writer         // the console, exceptions, and what handleSummary gives to stderr
}

// Result is what became of a run.
type Result struct {
	// Failed are the thresholds that do not hold.
	Failed []string
	// Exceptions is how many iterations ended with an error of the script. k6 goes on after them too, and says so.
	Exceptions int64
	// Interrupted is how many iterations did not end in time.
	Interrupted int64
}

// Err says what is wrong; nil if nothing is.
func (r Result) Err() error {
	var faults []error
	for _, threshold := range r.Failed {
		faults = append(faults, fmt.Errorf("threshold failed: %s", threshold))
	}
	if r.Exceptions > 0 {
		faults = append(faults, fmt.Errorf("%d iterations ended with an error of the script", r.Exceptions))
	}
	if r.Interrupted > 0 {
		faults = append(faults, fmt.Errorf("%d iterations were interrupted", r.Interrupted))
	}
	return errors.Join(faults...)
}

// run is one run of a script.
type run struct {
	cfg     Config
	program *goja.Program
	client  *http.Client
	metrics *metrics
	data    string // JSON of what setup returned
	start   time.Time

	exceptions, interrupted atomic.Int64

	mu     sync.Mutex           // guards checks and the writers of cfg
	checks map[string]*[2]int64 // fails, passes

	sharing sync.Mutex // guards shared, while a script makes its items
	shared  map[string][]string
}

// Run runs a script as k6 run does: setup, the scenarios at the same time, teardown, thresholds, handleSummary. The error
// means that there is no result.
func Run(ctx context.Context, cfg Config) (Result, error) {
	program, err := bundle(cfg.Script)
	if err != nil {
		return Result{}, err
	}
	r := &run{
		cfg: cfg, program: program, client: newClient(), metrics: newMetrics(), data: "null", shared: map[string][]string{}, checks: map[string]*[2]int64{},
	}
	defer r.client.CloseIdleConnections()
	main, err := r.newVU()
	if err != nil {
		return Result{}, err
	}
	exported := main.exports.Get("options")
	if exported == nil {
		return Result{}, errors.New("the script exports no options, which this stand-in needs")
	}
	o, err := parseOptions([]byte(main.stringify(exported)))
	if err != nil {
		return Result{}, err
	}
	thresholds, err := r.metrics.thresholds(o.Thresholds)
	if err != nil {
		return Result{}, err
	}
	for _, s := range o.Scenarios {
		if _, ok := goja.AssertFunction(main.exports.Get(s.Exec)); !ok {
			return Result{}, fmt.Errorf("scenario %s: the script exports no function %s", s.name, s.Exec)
		}
	}
	r.start = time.Now()
	if err := r.setup(ctx, main, o); err != nil {
		return Result{}, err
	}
	if err := r.scenarios(ctx, o); err != nil {
		return Result{}, err
	}
	torn := main.limited(ctx, "teardown", o.TeardownTimeout, main.parse(r.data))
	elapsed := time.Since(r.start)
	result := Result{Exceptions: r.exceptions.Load(), Interrupted: r.interrupted.Load()}
	for _, t := range thresholds {
		if t.judge(elapsed); !t.holds {
			result.Failed = append(result.Failed, fmt.Sprintf("%s: %s", t.key, t.expression))
		}
	}
	return result, errors.Join(torn, main.summarize(ctx, o, thresholds, elapsed), ctx.Err())
}

// setup keeps what the function returns as JSON, of which every user gets a copy.
func (r *run) setup(ctx context.Context, main *vu, o *options) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.SetupTimeout))
	defer cancel()
	made, err := main.call(ctx, "setup")
	if err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	r.data = main.stringify(made)
	return nil
}

// limited calls a function that has a time limit.
func (v *vu) limited(ctx context.Context, name string, limit span, args ...goja.Value) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(limit))
	defer cancel()
	if _, err := v.call(ctx, name, args...); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (r *run) scenarios(ctx context.Context, o *options) error {
	var ready []*running
	for _, s := range o.Scenarios {
		p, err := r.prepare(s)
		if err != nil {
			return err
		}
		ready = append(ready, p)
	}
	var group sync.WaitGroup
	for _, p := range ready {
		group.Go(func() { p.execute(ctx) })
	}
	group.Wait()
	return nil
}

func (r *run) logf(format string, values ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.cfg.Err, format+"\n", values...)
}

// exceptionsShown bounds the errors of scripts that are printed.
const exceptionsShown = 10

func (r *run) exception(err error) {
	if r.exceptions.Add(1) <= exceptionsShown {
		r.logf("an iteration ended with an error: %v", err)
	}
}

func (r *run) checked(name string, passed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checks[name] == nil {
		r.checks[name] = new([2]int64)
	}
	r.checks[name][int(number(passed))]++
}

// share makes a SharedArray once.
func (r *run) share(name string, items func() ([]string, error)) ([]string, error) {
	r.sharing.Lock()
	defer r.sharing.Unlock()
	if have, ok := r.shared[name]; ok {
		return have, nil
	}
	made, err := items()
	if err == nil {
		r.shared[name] = made
	}
	return made, err
}
