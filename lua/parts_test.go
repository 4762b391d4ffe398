package lua

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// part is the head of a file of lua/lib.
type part struct {
	needs map[string][]string // names, by the part that gives them; by "script" what its script defines
	gives []string
}

// wanted may be needed by a part although no part gives it.
const wanted = "script"

var (
	needsLine = regexp.MustCompile(`(?m)^-- NEEDS (\w+): (.*)$`)
	givesLine = regexp.MustCompile(`(?m)^-- GIVES (.*)$`)
	localLine = regexp.MustCompile(`(?m)^local (?:function )?([\w, ]+)`)
)

// readParts reads the heads of all parts.
func readParts(t *testing.T) map[string]part {
	t.Helper()
	paths, err := fs.Glob(files, "lib/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]part{}
	for _, file := range paths {
		source, name := read(t, file), nameOf(file)
		if !strings.HasPrefix(source, "-- "+name+": ") {
			t.Errorf("%s does not begin with its name and what it is", file)
		}
		head, _, _ := strings.Cut(source, "\n\n")
		p := part{needs: map[string][]string{}}
		for _, m := range needsLine.FindAllStringSubmatch(head, -1) {
			for item := range strings.SplitSeq(m[2], ", ") {
				p.needs[m[1]] = append(p.needs[m[1]], strings.Fields(item)[0])
			}
		}
		for _, m := range givesLine.FindAllStringSubmatch(head, -1) {
			p.gives = append(p.gives, strings.Split(m[1], ", ")...)
		}
		parts[name] = p
	}
	return parts
}

func nameOf(file string) string { return strings.TrimSuffix(path.Base(file), ".lua") }

// defined are the names that a file defines for what follows it.
func defined(source string) []string {
	var names []string
	for _, m := range localLine.FindAllStringSubmatch(source, -1) {
		names = append(names, strings.Split(strings.TrimSpace(m[1]), ", ")...)
	}
	return names
}

// foreign are the names that each file uses and does not define.
func foreign(t *testing.T) map[string][]string {
	t.Helper()
	luacheck, err := exec.LookPath("luacheck")
	if err != nil {
		if os.Getenv("REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Skip("luacheck is not installed")
	}
	args := []string{"--config", ".luacheckrc", "--formatter", "plain", "--only", "111", "112", "113", "--enable", "111", "112", "113", "--", "."}
	out, err := exec.CommandContext(t.Context(), luacheck, args...).Output()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	found := map[string][]string{}
	line := regexp.MustCompile(`(?m)^(?:\./)?([\w/]+\.lua):\d+:\d+: .* variable '(\w+)'$`)
	for _, m := range line.FindAllStringSubmatch(string(out), -1) {
		if !slices.Contains(found[m[1]], m[2]) {
			found[m[1]] = append(found[m[1]], m[2])
		}
	}
	if len(found) == 0 {
		t.Fatalf("luacheck has found no name that another file defines: %q", out)
	}
	return found
}

// TestPartsSayWhatTheyNeedAndGive compares the head of each part with its code. NEEDS lists the names of other parts
// that it uses, with the part that gives each. Others use only names that are in its GIVES.
func TestPartsSayWhatTheyNeedAndGive(t *testing.T) {
	t.Parallel()
	parts, uses := readParts(t), foreign(t)
	used := map[string]bool{}
	for _, names := range uses {
		for _, name := range names {
			used[name] = true
		}
	}
	givers := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		file, p := "lib/"+name+".lua", parts[name]
		var needs []string
		for from, names := range p.needs {
			needs = append(needs, names...)
			for _, n := range names {
				if from != wanted && !slices.Contains(parts[from].gives, n) {
					t.Errorf("%s needs %s of %s, which does not give it", file, n, from)
				}
			}
		}
		slices.Sort(needs)
		if diff := cmp.Diff(slices.Sorted(slices.Values(uses[file])), needs); diff != "" {
			t.Errorf("%s (-uses +NEEDS):\n%s", file, diff)
		}
		has := defined(read(t, file))
		for _, n := range p.gives {
			if !slices.Contains(has, n) {
				t.Errorf("%s gives %s, which it does not define", file, n)
			}
			if other := givers[n]; other != "" {
				t.Errorf("%s gives %s, as %s does", file, n, other)
			}
			givers[n] = file
			if !used[n] && n != strings.ToUpper(n) { // lists of constants are whole
				t.Errorf("%s gives %s, which nobody needs", file, n)
			}
		}
	}
}

// TestScriptsIncludeWhatIsNeeded compares the includes of each script with the heads of the parts. Each part comes
// after those that it needs, and each is needed.
func TestScriptsIncludeWhatIsNeeded(t *testing.T) {
	t.Parallel()
	parts, uses := readParts(t), foreign(t)
	acts := []string{"mark", "effects"} // they refuse
	var scripts []string
	for _, glob := range []string{"*.lua", "upkeep/*.lua"} {
		found, err := fs.Glob(files, glob)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, found...)
	}
	for _, file := range scripts {
		var included []string
		neededBy, before := map[string]string{}, ""
		for line := range strings.Lines(read(t, file)) {
			inc, ok := strings.CutPrefix(strings.TrimSpace(line), "-- #include ")
			if !ok {
				before += line
				continue
			}
			name := nameOf(inc)
			for from, names := range parts[name].needs {
				if from == wanted {
					for _, n := range names {
						if !slices.Contains(defined(before), n) {
							t.Errorf("%s includes %s without defining %s before", file, name, n)
						}
					}
					continue
				}
				neededBy[from] = name
				if !slices.Contains(included, from) {
					t.Errorf("%s includes %s without %s before it", file, name, from)
				}
			}
			included = append(included, name)
		}
		for _, n := range uses[file] {
			at := slices.IndexFunc(included, func(name string) bool { return slices.Contains(parts[name].gives, n) })
			if at < 0 {
				t.Errorf("%s uses %s, which no part that it includes gives", file, n)
				continue
			}
			neededBy[included[at]] = file
		}
		for _, name := range included {
			if neededBy[name] == "" && len(parts[name].gives) > 0 && !slices.Contains(acts, name) {
				t.Errorf("%s includes %s, which nothing in it needs", file, name)
			}
		}
	}
}
