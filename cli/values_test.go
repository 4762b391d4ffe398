package cli

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"sluice/cli/command"
)

// wants returns the error that the reader of a flag's type gives for a wrong text. It is empty if any text is right.
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

// An error about a value speaks of the value as its writer knows it, on the command line and in the environment.
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
	for _, leaf := range model().Leaves(false) {
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

// A number that cannot be meant is refused by name, and where 0 is taken its meaning is written down. Nothing runs.
func TestNumbersOutOfRangeAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	refuses := func(name string, args ...string) bool {
		t.Helper()
		parser, err := newParser(new(root), new(output).console(), func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(args)
		return err != nil && strings.Contains(err.Error(), name)
	}
	unset := map[string]bool{"delta": true, "expect-avail": true}    // 0 is as if it were not given
	atRun := map[string]bool{"for": true, "ttl": true, "hold": true} // refused when the command runs
	for _, leaf := range model().Leaves(false) {
		values := slices.Clone(leaf.Positional)
		for _, f := range leaf.Flags {
			values = append(values, f.Value)
		}
		for _, v := range values {
			zero, less := "0", "-1"
			switch wants(v.Target.Type()) {
			case "want a whole number", "want a number, such as":
			case "want a duration with its unit, such as":
				zero, less = "0s", "-1s"
			default:
				continue
			}
			args := func(word string) []string {
				path := strings.Fields(leaf.Path())
				if v.Flag == nil {
					return append(path, "--", word)
				}
				return append(path, "--"+v.Name+"="+word)
			}
			if v.Name != "delta" && !atRun[v.Name] && !refuses(v.Name, args(less)...) {
				t.Errorf("%v is taken", args(less))
			}
			if zero == "0s" {
				continue // not to wait needs no words
			}
			said := strings.Contains(v.Help, "0") || strings.HasPrefix(v.Tag.Get("between"), "0")
			if !said && !unset[v.Name] && !atRun[v.Name] && !refuses(v.Name, args(zero)...) {
				t.Errorf("%v is taken, and nothing says what it means: %s", args(zero), v.Help)
			}
		}
	}
	for _, list := range []string{"stock", "sale", "reservation", "deadletter"} {
		for _, limit := range []string{"0", "-1", "501"} {
			var o output
			code := Run([]string{list, "list", "--limit=" + limit}, o.console())
			if code != command.ExitUsage || !strings.Contains(o.err.String(), "want a whole number, 1 to 500") {
				t.Errorf("%s list --limit %s: exit code %d, %s", list, limit, code, o.err.String())
			}
		}
	}
}

// A missing reason is refused by saying that one is needed, and not by a length.
func TestAReasonIsRequired(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{"stock adjust 1 --delta 1", "stock freeze 1", "stock unfreeze 1", "deadletter resolve x", "deadletter replay x"} {
		for _, given := range [][]string{nil, {"--reason="}} {
			var o output
			code := Run(append(strings.Fields(line), given...), o.console())
			if said := o.err.String(); code != command.ExitUsage || !strings.Contains(said, "--reason is required: say why in a sentence") {
				t.Errorf("%s %v: exit code %d, %s", line, given, code, said)
			}
		}
	}
}
