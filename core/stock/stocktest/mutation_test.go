package stocktest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// mutants are bugs to seed in the model, as edits of its source. The old text must occur once.
var mutants = map[string]struct{ file, old, new string }{
	"drop the limit check":            {"step.go", "Owned:      s.owned(user)", "Owned: -1 << 40"},
	"do not count units of the limit": {"step.go", "s.buyers[user] = s.owned(user) + r.Quantity", "s.buyers[user] = s.owned(user)"},
	"keep released units in limit":    {"step.go", "s.buyers[user] = s.owned(user) - r.Quantity", "s.buyers[user] = s.owned(user)"},
	"give back what never counted":    {"step.go", "if r.Counted {", "if true {"},
	"count without a limit":           {"step.go", "Counted: cell.Limit != 0", "Counted: true"},
	"released record still counts":    {"step.go", "r.Counted = false", ""},
	"no replay check":                 {"step.go", "verdict := before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before)\n\t}\n\tverdict", "false {\n\t}\n\tverdict"},
	"no mismatch":                     {"step.go", "verdict := before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before)\n\t}\n\tverdict", "verdict := before.Repeat(before.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before)\n\t}\n\tverdict"},
	"adjust again and again":          {"step.go", "verdict := before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before), nil", "verdict := before.Repeat(r.Fingerprint); verdict == stock.VerdictMismatch {\n\t\treturn answer(verdict, before), nil"},
	"oversell by one":                 {"step.go", "Quantity:   r.Quantity,", "Quantity: r.Quantity - 1,"},
	"ignore the fence":                {"step.go", "Fence:      r.Fence,", ""},
	"forget that a cell is fenced":    {"step.go", "cell.Fenced || verdict == stock.VerdictFenced", "cell.Fenced"},
	"forget a breach":                 {"step.go", "cell.Breached || verdict == stock.VerdictFrozen && !cell.Sound()", "cell.Breached"},
	"take a freeze for a breach":      {"step.go", "verdict == stock.VerdictFrozen && !cell.Sound()", "verdict == stock.VerdictFrozen"},
	"ignore a full outbox":            {"step.go", "OutboxFull: s.outboxFull,", ""},
	"blind to earlier records":        {"step.go", "if r, ok := s.reservations[id]; ok {", "if r, ok := s.reservations[id]; ok && false {"},
	"blind to earlier balances":       {"step.go", "if state, ok := s.cells[c]; ok {", "if state, ok := s.cells[c]; ok && false {"},
	"blind to earlier buyers":         {"step.go", "if units, ok := s.buyers[b]; ok {", "if units, ok := s.buyers[b]; ok && false {"},
	"settle anyone's":                 {"step.go", "before.Settle(wanted, r.User, s.nowMS)", "before.Settle(wanted, 0, s.nowMS)"},
	"settle after the deadline":       {"step.go", "before.Settle(wanted, r.User, s.nowMS)", "before.Settle(wanted, r.User, 0)"},
	"settle in a shut cell":           {"step.go", "cell := s.cell(before.Cell)\n\tif verdict := cell.Shut(); verdict", "cell := s.cell(before.Cell)\n\tif verdict := stock.VerdictOK; verdict"},
	"confirm sells nothing":           {"step.go", "cell.Sold += before.Quantity", "cell.Avail += before.Quantity"},
	"deduct holds":                    {"step.go", "cell.Sold += r.Quantity", "cell.Held += r.Quantity"},
	"hold a moment longer":            {"step.go", "s.nowMS + cell.Hold.Milliseconds()", "s.nowMS + cell.Hold.Milliseconds() + 1"},
	"expire what is confirmed":        {"step.go", "r.StateAt(s.nowMS) != stock.StateExpired || r.State != stock.StateHeld", "r.StateAt(s.nowMS) == stock.StateReleased || r.DeadlineMS > s.nowMS"},
	"expire too early":                {"memstock.go", "if m.atMS > sweep.TimeMS {", "if m.atMS > sweep.TimeMS+3_600_000 {"},
	"expire a moment late":            {"memstock.go", "if m.atMS > sweep.TimeMS {", "if m.atMS >= sweep.TimeMS {"},
	"expire in a shut cell":           {"step.go", "cell := s.cell(r.Cell)\n\t\tif verdict := cell.Shut(); verdict", "cell := s.cell(r.Cell)\n\t\tif verdict := stock.VerdictOK; verdict"},
	"shut cells hold others up":       {"memstock.go", "sweep.Expired += expired", "sweep.Expired += expired\n\t\tif len(stuck) > 0 {\n\t\t\twaiting = append(waiting, p.due[i:]...)\n\t\t\tbreak\n\t\t}"},
	"never more to expire":            {"memstock.go", "sweep.More = true", ""},
	"no next deadline":                {"memstock.go", "sweep.NextMS = m.atMS", ""},
	"skip a seq":                      {"step.go", "cell.Seq++", "cell.Seq++\n\tif kind == event.KindRelease {\n\t\tcell.Seq++\n\t}"},
	"repeat a seq":                    {"step.go", "cell.Seq++", "if kind != event.KindConfirm {\n\t\tcell.Seq++\n\t}"},
	"balances before the event":       {"step.go", "Avail: cell.Avail, Held: cell.Held, Sold: cell.Sold,", "Avail: cell.Avail + r.Quantity, Held: cell.Held, Sold: cell.Sold,"},
	"event of another user":           {"step.go", "User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint,\n\t\tCell", "User: r.User + 1, Quantity: r.Quantity, Fingerprint: r.Fingerprint,\n\t\tCell"},
	"a refusal is written down":       {"step.go", "return answer(verdict, before)\n\t}\n\n\ttaken", "s.reservations[r.ID] = stock.Reservation{ID: r.ID, State: stock.StateReleased, Fingerprint: r.Fingerprint}\n\t\treturn answer(verdict, before)\n\t}\n\n\ttaken"},
	"a delta beside the total":        {"step.go", "cell.Total += a.Delta", "cell.Total += max(a.Delta, 0)"},
	"settings lost by a delta":        {"step.go", "cell.With(a.Fields, a.Settings)", "a.Settings"},
	"half a vector before an error":   {"memstock.go", "v.Outcomes, v.Err = v.Outcomes[:0], err", "step.commit(0)\n\t\t\tv.Outcomes, v.Err = v.Outcomes[:0], err"},
	"forget before its time":          {"memstock.go", "p.gone[0].atMS <= s.now()", "p.gone[0].atMS <= s.now()+s.Retention.Milliseconds()"},
	"never forget":                    {"memstock.go", "delete(p.reservations, id)", "_ = id"},
	"no deadline kept":                {"step.go", "s.due = add(s.due, newMember(h.deadlineMS, h.pool, ids))", "_, _ = h, ids"},
}

// unsimulated are mutants that differ from the model where the simulation does not look, or too
// rarely for a test.
var unsimulated = []string{
	"forget before its time", "give back what never counted", "half a vector before an error",
	"ignore a full outbox", "never more to expire", "no next deadline",
}

// raced are mutants that an audit after concurrent clients must find: those that sell too much, or
// whose events do not add up.
var raced = []string{
	"drop the limit check", "do not count units of the limit", "oversell by one", "blind to earlier records",
	"blind to earlier balances", "blind to earlier buyers", "confirm sells nothing", "hold a moment longer",
	"skip a seq", "repeat a seq", "balances before the event", "event of another user",
}

// TestMutants runs the model's own tests on copies of the model with a bug in each. A test that
// passes is blind to that bug.
func TestMutants(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a program per bug")
	}
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(filepath.Join("..", "memstock", m.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(source, []byte(m.old)); n != 1 {
				t.Fatalf("%q occurs %d times in %s", m.old, n, m.file)
			}
			binary := buildMutant(t, m.file, bytes.Replace(source, []byte(m.old), []byte(m.new), 1))
			mustFail(t, binary, "TestConformance")
			if !slices.Contains(unsimulated, name) {
				mustFail(t, binary, "TestSimulation", "-rapid.checks=500", "-rapid.shrinktime=0s", "-rapid.nofailfile")
			}
			if slices.Contains(raced, name) {
				mustFail(t, binary, "TestConcurrentClients")
			}
		})
	}
}

func mustFail(t *testing.T, binary, test string, args ...string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), binary, append(args, "-test.run=^"+test+"$", "-test.failfast")...)
	run.Dir = filepath.Dir(binary)
	if out, err := run.CombinedOutput(); err == nil {
		t.Errorf("%s passes:\n%s", test, out)
	}
}

// buildMutant builds the tests of package memstock with one file replaced, as a package of another name
// that exists in the go tool's overlay only: the simulation still compares with the true model.
func buildMutant(t *testing.T, file string, source []byte) string {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, name := range []string{"memstock.go", "partition.go", "step.go", "memstock_test.go"} {
		from, err := filepath.Abs(filepath.Join("..", "memstock", name))
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if name == file {
			content = source
		}
		content = bytes.ReplaceAll(content, []byte("sluice/core/stock/memstock"), []byte("sluice/core/stock/mutant"))
		copied := filepath.Join(dir, name)
		if err := os.WriteFile(copied, content, 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(filepath.Dir(filepath.Dir(from)), "mutant", name)] = copied
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	listFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(listFile, list, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "mutant.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-o", binary, "-overlay", listFile, "sluice/core/stock/mutant")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}
