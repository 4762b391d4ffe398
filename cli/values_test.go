package cli

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"sluice/cli/command"
)

// wants is what the reader of a flag's type says that it wants; empty where any text does.
func wants(of reflect.Type) string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	switch {
	case of == reflect.TypeFor[time.Duration]():
		return "want a duration with its unit, such as"
	case of.Kind() == reflect.Struct: // a time, or a word for one
		return "want a time in RFC 3339, such as"
	case of.Kind() == reflect.String:
		return ""
	case of.Kind() == reflect.Bool:
		return "want true or false"
	case of.Kind() == reflect.Float64:
		return "want a number, such as"
	}
	return "want a whole number"
}

// Whatever a value is to be, its writer is told in his own words what is wrong with it, on the command line
// and in the environment.
func TestBadValuesAreToldInTheUsersWords(t *testing.T) { // it sets the environment
	t.Chdir(t.TempDir())
	tried := map[string]bool{}
	try := func(where, want string, args ...string) {
		t.Helper()
		if want == "" {
			return
		}
		tried[want] = true
		var o output
		code := Run(args, o.console())
		said := o.err.String()
		for _, foreign := range []string{"strconv", "parsing", "invalid syntax", "time:", "bit int", "expected", "EOL", "2006"} {
			if strings.Contains(said, foreign) {
				t.Errorf("%q: said %q", args, said)
			}
		}
		if code != command.ExitUsage || !strings.Contains(said, want) || !strings.Contains(said, where) || !strings.Contains(said, `"1 apple"`) {
			t.Errorf("%q: exit code %d, said %q, want %s: %s", args, code, said, where, want)
		}
	}
	seen := map[string]bool{}
	for _, leaf := range model(t).Leaves(false) {
		path := strings.Fields(leaf.Path())
		for _, arg := range leaf.Positional {
			try("<"+arg.Name+">", wants(arg.Target.Type()), append(path, "1 apple")...)
		}
		for _, f := range leaf.Flags {
			want := wants(f.Target.Type())
			try("--"+f.Name, want, append(path, "--"+f.Name+"=1 apple")...)
			if len(f.Envs) == 0 || seen[f.Envs[0]] || want == "" {
				continue
			}
			seen[f.Envs[0]] = true
			inEnvironment(t, f, func() { try(f.Envs[0], want, path...) })
		}
	}
	if len(tried) != 5 {
		t.Errorf("types that were tried: %v", tried)
	}
}

func inEnvironment(t *testing.T, f *kong.Flag, do func()) {
	t.Helper()
	t.Run(f.Name, func(t *testing.T) {
		t.Setenv(f.Envs[0], "1 apple")
		do()
	})
}

func TestValuesAreReadOneWay(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct{ arg, want string }{
		{"--delta=0x10", "want a whole number"},
		{"--delta=1_000", "want a whole number"},
		{"--delta=+5", "want a whole number"},
		{"--delta=1e3", "want a whole number"},
		{"--delta=99999999999999999999", "want a whole number, -9223372036854775808 to 9223372036854775807"},
		{"--sale=4294967296", "want a whole number, 0 to 4294967295"},
		{"--sale=-1", "want a whole number"},
		{"--hold=5", `"5": want a duration with its unit`},
		{"--opens-at=2026-01-31", "want a time in RFC 3339"},
		{"--opens-at=2026-01-31 18:00:00Z", "want a time in RFC 3339"},
		{"--opens-at=2026-01-31T0:00:00Z", "want a time in RFC 3339"},
		{"--closes-at=2026-01-31T18:00:00+24:00", "want a time in RFC 3339"},
		{"--delta", "a value is missing"},
		{"--reason", "a value is missing"},
		{"--limit=-010", "limit: -10: want"}, // and not -8, which octal would be
	} {
		var o output
		if code := Run([]string{"stock", "adjust", "1", c.arg}, o.console()); code != command.ExitUsage || !strings.Contains(o.err.String(), c.want) {
			t.Errorf("%s: exit code %d, said %q, want %q", c.arg, code, o.err.String(), c.want)
		}
	}
	var o output
	if Run([]string{"stock", "adjust", "1", "--delta", "-3"}, o.console()); !strings.Contains(o.err.String(), "write --delta=-3") {
		t.Errorf("a negative value without =: said %q", o.err.String())
	}
}
