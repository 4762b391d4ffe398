package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ask is how each shell is made to complete a line without a terminal. $1 is its script, the other
// arguments are the words of the line.
var ask = map[string]string{
	"bash": `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf '%s\n' "${COMPREPLY[@]}"`,
	"zsh":  `compdef() {}; compadd() { print -l -- ${(P)2}; }; _files() {}; source "$1"; shift; words=("$@"); CURRENT=$#; _sluice`,
	"fish": `source $argv[1]; complete -C (string join ' ' -- $argv[2..-1])`,
}

// Each shell that is installed completes commands, flags and values as its script says.
func TestShellsComplete(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "sluice")); err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(), programEnv+"=1", "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir)
	for shell, line := range ask {
		if _, err := exec.LookPath(shell); err != nil {
			if shell == "bash" {
				t.Errorf("bash: %v", err)
			}
			continue
		}
		script := filepath.Join(dir, "script."+shell)
		made := exec.CommandContext(t.Context(), filepath.Join(dir, "sluice"), "completion", shell)
		made.Env = environment
		text, err := made.Output()
		if err == nil {
			err = os.WriteFile(script, text, 0o600)
		}
		if err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		for words, want := range map[string]string{
			"sluice vers":                           "version",
			"sluice stock un":                       "unfreeze",
			"sluice --log-level debug stock adj":    "adjust",
			"sluice stock adjust 1 --shopper-dedu":  "--shopper-deducts",
			"sluice stock show 1 -o ":               "json table",
			"sluice stock show 1 --output=j":        "--output=json",
			"sluice token issue --user 1 --role sh": "shopper",
			"sluice completion z":                   "zsh",
		} {
			args := strings.Split(words, " ")
			flags := []string{"-c", line, script}
			if shell != "fish" {
				flags = []string{"-c", line, shell, script}
			}
			cmd := exec.CommandContext(t.Context(), shell, append(flags, args...)...)
			cmd.Env = environment
			out, err := cmd.CombinedOutput()
			var got []string
			for found := range strings.Lines(string(out)) {
				found, _, _ = strings.Cut(strings.TrimSpace(found), "\t")
				got = append(got, found)
			}
			slices.Sort(got)
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("%s: %q is completed to %q, want %q: %v", shell, words, got, want, err)
			}
		}
	}
}

// Bash makes a word of the = in --output=json.
func TestWordsOfBashAreCompleted(t *testing.T) {
	t.Parallel()
	app := model()
	for words, want := range map[string]string{
		"stock show --output = j":                 "json",
		"stock show --output =":                   "table json",
		"stock show --output = json --wai":        "--wait",
		"stock load --mysql-dsn-file ":            "", // a file name
		"stock load ":                             "", // a file name
		"reservation ":                            "list show",
		"stock freeze --yes=t":                    "--yes=true",
		"complete":                                "",
		"stock show --nothing=":                   "",
		"stock show --partitions 8 --deployment ": "",
	} {
		if got := strings.Join(candidates(app.Node, strings.Split(words, " ")), " "); got != want {
			t.Errorf("%q is completed to %q, want %q", words, got, want)
		}
	}
}
