package apptest

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/report/rehearsal"
	"sluice/bench/stack"
)

// A rehearsal reads the sale from the deployment's MySQL, and plays it elsewhere: it works where neither Redis nor Kafka of
// the deployment can be reached, and leaves nothing behind. How much a busy machine bears is not asked here.
func TestASaleIsRehearsedBesideItsDeployment(t *testing.T) {
	t.Parallel()
	s := stack.New(t)
	s.LoadCSV("sku_id,quantity", "1001,500", "1002,50")
	s.Run("", "sale", "create", "7", "--yes", "--name", "summer", "--item", "1001:120", "--item", "1002:30", "--limit", "2", "--ack", "replica")
	temporary := t.TempDir()
	o := s.Program("bench", "rehearse", "7", "--from", "50", "--to", "100", "--grow", "100", "--step", "2s", "--within", "5s", "--users", "1000", "-o", "json")
	cmd := exec.CommandContext(t.Context(), o.Path, o.Args...)
	cmd.Env = append(o.Env(nil), "SLUICE_REDIS_ADDR=127.0.0.1:1", "SLUICE_KAFKA_BROKERS=127.0.0.1:1", "TMPDIR="+temporary)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if ended := new(exec.ExitError); err != nil && (!errors.As(err, &ended) || ended.ExitCode() != report.ExitGenerator) {
		t.Fatalf("%v: %s%s", err, out, said.String())
	}
	var r rehearsal.Rehearsal
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Sale != 7 || r.Name != "summer" || r.SKUs != 2 || r.Units != 150 || r.Limit != 2 || len(r.Steps) == 0 || r.Cause == "" {
		t.Errorf("%s%s", out, said.String())
	}
	for _, step := range r.Steps {
		units := load.Units{Accepted: step.AcceptedUnits, Unknown: step.UnknownUnits}
		if step.Accepted == 0 || step.GoneUnits == nil || !units.Fit(*step.GoneUnits) || *step.GoneUnits > r.Units {
			t.Errorf("%+v of %d units: %s", step, r.Units, said.String())
		}
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
