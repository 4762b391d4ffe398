package redisstock_test

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/core/local/servicetest"
	"sluice/core/stock/redisstock"
	"sluice/lua"
)

var mutantName = flag.String("mutant", "", "run the tests on scripts with this bug of mutants_test.go")

// noLua matches the error of Redis for a script that it cannot load or run. A mutant that fails like this proves
// nothing.
var noLua = regexp.MustCompile(`Error compiling script|attempt to |Script attempted to access|bad argument|got nil|too short`)

// TestMutants runs tests of this package again, in a process and on servers of their own, on scripts with a bug
// in each. A test that passes is blind to that bug.
func TestMutants(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server per bug")
	}
	servicetest.Redis(t) // without one, all tests of a bug pass
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Concat(mutants, upkeepMutants) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if _, err := m.seed(); err != nil {
				t.Fatal(err)
			}
			test := "^" + m.by + "$"
			if !strings.HasPrefix(m.by, "Test") {
				test = "^TestStore$/^server$/^conformance$/" + test
			}
			// Where time matters, one run on a busy machine may miss it. The first failure ends them.
			run := exec.CommandContext(t.Context(), self, "-mutant", m.name, "-test.run", test, "-test.count=5", "-test.failfast", "-test.timeout=60s")
			out, err := run.CombinedOutput()
			if err == nil {
				t.Fatalf("%s passes:\n%s", test, out)
			}
			if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 || noLua.Match(out) {
				t.Errorf("%s fails for another reason: %v\n%s", test, err, out)
			}
		})
	}
}

// useMutant has the tests of this process run on scripts with a bug. No name is no bug.
func useMutant(name string) error {
	if name == "" {
		return nil
	}
	all := slices.Concat(mutants, upkeepMutants)
	i := slices.IndexFunc(all, func(m mutant) bool { return m.name == name })
	if i < 0 {
		return fmt.Errorf("no bug has the name %q", name)
	}
	scripts, err := all[i].seed()
	switch {
	case err != nil:
		return err
	case all[i].upkeep():
		redisstock.UseUpkeep(scripts[0])
	default:
		redisstock.UseScripts(scripts)
	}
	return nil
}

// upkeep tells whether the bug is in an upkeep script.
func (m mutant) upkeep() bool { return strings.HasPrefix(m.file, "upkeep/") }

// scripts are those that may have the file of the bug.
func (m mutant) scripts() ([]lua.Script, error) {
	if !m.upkeep() {
		return lua.All()
	}
	script, err := lua.Load(strings.TrimSuffix(m.file, ".lua"))
	return []lua.Script{script}, err
}

// seed puts the bug into all scripts that its file is part of. An upkeep script with a bug is the only one.
func (m mutant) seed() ([]lua.Script, error) {
	part, err := os.ReadFile(filepath.Join("..", "..", "..", "lua", m.file))
	if err != nil {
		return nil, err
	}
	scripts, err := m.scripts()
	if err != nil {
		return nil, err
	}
	seeded := 0
	for i := range scripts {
		s := &scripts[i]
		if s.Name+".lua" != m.file && !strings.Contains(s.Source, string(part)) {
			continue
		}
		if n := strings.Count(s.Source, m.old); n != 1 {
			return nil, fmt.Errorf("%q occurs %d times in %s", m.old, n, s.Name)
		}
		s.Source = strings.Replace(s.Source, m.old, m.new, 1)
		sum := sha1.Sum([]byte(s.Source))
		s.SHA1 = hex.EncodeToString(sum[:])
		seeded++
	}
	if seeded == 0 || !strings.Contains(string(part), m.old) {
		return nil, fmt.Errorf("%q is not in %s, or no script has that", m.old, m.file)
	}
	return scripts, nil
}
