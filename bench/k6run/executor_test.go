package k6run

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestArrivalsFollowTheirRate: as many iterations as the area under the rate, each at its time.
func TestArrivalsFollowTheirRate(t *testing.T) {
	t.Parallel()
	second := span(time.Second)
	for name, c := range map[string]struct {
		s    scenario
		want []time.Duration // of the first ones
		n    int
	}{
		"constant": {scenario{Executor: constantRate, Rate: 10, TimeUnit: second, Duration: 3 * second}, []time.Duration{0, 100e6, 200e6}, 30},
		"per minute": {
			scenario{Executor: constantRate, Rate: 30, TimeUnit: 60 * second, Duration: 9 * second}, []time.Duration{0, 2e9, 4e9, 6e9, 8e9}, 5,
		},
		"up from 0": { // 10 t²/2
			scenario{Executor: rampingRate, TimeUnit: second, Stages: []stage{{2 * second, 20}}},
			[]time.Duration{0, time.Duration(math.Sqrt(0.2) * 1e9), time.Duration(math.Sqrt(0.4) * 1e9)},
			20,
		},
		"up, along, down": {scenario{Executor: rampingRate, TimeUnit: second, StartRate: 10, Stages: []stage{{second, 30}, {second, 30}, {second, 0}}}, nil, 20 + 30 + 15},
		"a jump":          {scenario{Executor: rampingRate, TimeUnit: second, StartRate: 1, Stages: []stage{{0, 50}, {second, 50}}}, []time.Duration{0, 20e6}, 50},
		"a break":         {scenario{Executor: rampingRate, TimeUnit: second, Stages: []stage{{second, 0}, {0, 10}, {second, 10}}}, []time.Duration{1e9, 1100e6}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArrivals(&c.s)
			n, before := 0, time.Duration(-1)
			for at, more := a.next(); more; at, more = a.next() {
				if n < len(c.want) && (at-c.want[n]).Abs() > time.Microsecond {
					t.Errorf("iteration %d at %v, want %v", n, at, c.want[n])
				}
				if at < before {
					t.Errorf("iteration %d at %v, after one at %v", n, at, before)
				}
				n, before = n+1, at
			}
			if n != c.n {
				t.Errorf("%d iterations, want %d", n, c.n)
			}
		})
	}
}

// TestExecutors counts what each executor starts.
func TestExecutors(t *testing.T) {
	t.Parallel()
	count := func(options string) string {
		return `
			import exec from "k6/execution";
			import { Counter } from "k6/metrics";
			import { sleep } from "k6";
			const numbers = new Counter("numbers");
			export const options = {scenarios: {s: {` + options + `}}};
			export default function () { numbers.add(exec.scenario.iterationInTest); sleep(0.05); }`
	}
	for name, c := range map[string]struct {
		options string
		n       float64
	}{
		"constant": {`executor: "constant-arrival-rate", rate: 40, duration: "1s", preAllocatedVUs: 30, maxVUs: 1000`, 40},
		"ramping":  {`executor: "ramping-arrival-rate", stages: [{duration: "1s", target: 40}], preAllocatedVUs: 30, maxVUs: 1000, startTime: "100ms"`, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := runScript(t, count(c.options))
			if s.err != nil || s.result.Err() != nil {
				t.Fatalf("%v, %v\n%s", s.err, s.result.Err(), s.said)
			}
			// A busy machine may come too late for the last ones of a rate.
			n := s.summary["iterations"].Values["count"]
			if n > c.n || n < c.n/2 {
				t.Errorf("%v iterations, want %v", n, c.n)
			}
			if got, want := s.summary["numbers"].Values["count"], n*(n-1)/2; got != want {
				t.Errorf("the numbers of %v iterations sum up to %v, want each once: %v", n, got, want)
			}
		})
	}
}

// TestArrivalsWithoutUsersAreDropped: a rate does not wait for users, and says so.
func TestArrivalsWithoutUsersAreDropped(t *testing.T) {
	t.Parallel()
	s := runScript(t, `
		import { sleep } from "k6";
		export const options = {
			scenarios: {s: {executor: "constant-arrival-rate", rate: 200, duration: "1s", preAllocatedVUs: 1, maxVUs: 2}},
			thresholds: {dropped_iterations: ["count==0"]},
		};
		export default function () { sleep(2); }`)
	if s.err != nil || s.summary["iterations"].Values["count"] != 2 || len(s.result.Failed) != 1 {
		t.Errorf("%v: %v iterations, failed %v, want two, and the others dropped", s.err, s.summary["iterations"].Values, s.result.Failed)
	}
}

// TestAddedUsersCostAnArrival: a user that is not there from the beginning comes too late for the arrival that called for it.
func TestAddedUsersCostAnArrival(t *testing.T) {
	t.Parallel()
	s := runScript(t, `
		import { sleep } from "k6";
		export const options = {
			scenarios: {s: {executor: "constant-arrival-rate", rate: 3, duration: "1s", preAllocatedVUs: 1, maxVUs: 3}},
			thresholds: {dropped_iterations: ["count>0"], iterations: ["count>0", "count<3"]},
		};
		export default function () { sleep(2); }`)
	if s.err != nil || s.result.Err() != nil {
		t.Errorf("%v, %v: want the second arrival dropped", s.err, s.result.Err())
	}
}

// TestLateIterationsAreInterrupted, and an error of the script ends its iteration only.
func TestLateIterationsAreInterrupted(t *testing.T) {
	t.Parallel()
	s := runScript(t, `
		import exec from "k6/execution";
		export const options = {scenarios: {s: {executor: "constant-arrival-rate", rate: 4, duration: "1s", preAllocatedVUs: 4, gracefulStop: "1s"}}};
		export default function () { if (exec.scenario.iterationInTest === 1) { while (true) {} } throw new Error("no"); }`)
	if s.err != nil || s.result.Interrupted != 1 || s.result.Exceptions < 1 || !strings.Contains(s.said, "Error: no") {
		t.Errorf("%v: %+v\n%.300s", s.err, s.result, s.said)
	}
	if err := s.result.Err(); err == nil || !strings.Contains(err.Error(), "1 iterations were interrupted") {
		t.Errorf("the run says %v", err)
	}
}

// TestIterationsMayEndAfterTheLastArrival: what is under way when the time of a scenario is over has gracefulStop to end.
func TestIterationsMayEndAfterTheLastArrival(t *testing.T) {
	t.Parallel()
	s := runScript(t, `
		import { sleep } from "k6";
		export const options = {
			scenarios: {s: {executor: "constant-arrival-rate", rate: 1, duration: "1s", preAllocatedVUs: 1, gracefulStop: "30s"}},
			thresholds: {iterations: ["count==1"]},
		};
		export default function () { sleep(1.5); }`)
	if s.err != nil || s.result.Err() != nil {
		t.Errorf("%v, %v\n%s", s.err, s.result.Err(), s.said)
	}
}

// TestLateInterruptsEndNoOtherCall: an interrupt that comes when its call has just returned is forgotten.
func TestLateInterruptsEndNoOtherCall(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "script.js")
	source := `export function last(end) { end(); } export function next() { for (let n = 0; n < 1000; n++); }`
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := bundle(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := (&run{program: program, metrics: newMetrics()}).newVU()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := v.call(ctx, "last", v.rt.ToValue(cancel)); err != nil && !errors.Is(err, errInterrupted) {
			t.Fatal(err)
		}
		if _, err := v.call(t.Context(), "next"); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
	}
}
