package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/singleflight"

	"sluice/core/config"
)

// ProbeTimeout bounds one check, so that an orchestrator always gets an answer in time.
const ProbeTimeout = time.Second

// Check is one condition that must hold before a process may get work. If it only degrades, the process gets work
// without it.
type Check struct {
	Name     string
	Probe    func(ctx context.Context) error // returns nil if the condition holds
	Degrades bool                            // without it the process is still of use: it stays ready, and says that it is degraded
}

// readiness answers /readyz. At most one probe of each check runs at a time, and requests share it, so
// that a dependency that hangs cannot pile up goroutines.
type readiness struct {
	checks   []Check
	probes   singleflight.Group
	draining atomic.Bool
}

const (
	statusOK       = "ok"
	statusDegraded = "degraded"
	statusFail     = "fail"
	statusDraining = "draining"
)

var statuses = []string{statusOK, statusDegraded, statusFail, statusDraining}

type result struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, degraded or fail
	Error  string `json:"error,omitempty"`
}

type report struct {
	Status string   `json:"status"` // ok, degraded, fail or draining
	Checks []result `json:"checks"` // those that do not hold; all with ?verbose
}

// ServeHTTP implements http.Handler.
func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	answer := r.report(req.Context())
	if !req.URL.Query().Has("verbose") {
		answer.Checks = slices.DeleteFunc(answer.Checks, func(res result) bool { return res.Status == statusOK })
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if answer.Status != statusOK && answer.Status != statusDegraded {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.MarshalWrite(w, answer) // the client has gone: nobody to tell
}

// report has all checks.
func (r *readiness) report(ctx context.Context) report {
	answer := report{Status: statusOK, Checks: r.run(ctx)}
	for _, res := range answer.Checks {
		if res.Status == statusFail || res.Status == statusDegraded && answer.Status == statusOK {
			answer.Status = res.Status
		}
	}
	if r.draining.Load() {
		answer.Status = statusDraining
	}
	return answer
}

func (r *readiness) run(ctx context.Context) []result {
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	results := make([]result, len(r.checks))
	var wait sync.WaitGroup
	for i, check := range r.checks {
		wait.Go(func() {
			results[i] = result{Name: check.Name, Status: statusOK}
			if err := r.probe(ctx, check); err != nil {
				results[i].Status, results[i].Error = statusFail, tell(err)
				if check.Degrades {
					results[i].Status = statusDegraded
				}
			}
		})
	}
	wait.Wait()
	return results
}

// probe returns when the context ends, even if the check does not.
func (r *readiness) probe(ctx context.Context, check Check) error {
	answer := r.probes.DoChan(check.Name, func() (any, error) {
		// The first request may go away while another waits for the same probe.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ProbeTimeout)
		defer cancel()
		return nil, check.Probe(ctx)
	})
	select {
	case r := <-answer:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell adds, for a server that gives no answer, what its error does not say: the address may well be right.
func tell(err error) string {
	if config.Silent(err) {
		return fmt.Sprintf("answers nothing within %v: is the server hung or overloaded? (%v)", ProbeTimeout, err)
	}
	return err.Error()
}

// answerMax bounds how much of an answer of /readyz is read.
const answerMax = 64 << 10

// AskReady asks the ops server at an address whether its process is ready. The error says which conditions do not
// hold.
func AskReady(ctx context.Context, addr string) error {
	_, err := askReady(ctx, addr)
	return err
}

// AskDegraded asks a ready process why it is degraded. The answers are for people.
func AskDegraded(ctx context.Context, addr string) ([]string, error) {
	text, err := askReady(ctx, addr)
	if err != nil {
		return nil, err
	}
	var answer report
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("read answer of /readyz: %w", err)
	}
	var found []string
	for _, check := range answer.Checks {
		if check.Status == statusDegraded {
			found = append(found, check.Error)
		}
	}
	return found, nil
}

func askReady(ctx context.Context, addr string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerMax))
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/readyz answers %s: %s", answer.Status, text)
	}
	return text, nil
}
