package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"sluice/cli/command"
	"sluice/core/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md and the expected help texts anew")

// golden compares a text with a file, or writes the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale: run go test ./cli -update (-file +program)\n%s", path, diff)
	}
}

type output struct{ out, err bytes.Buffer }

func (o *output) console() *command.Console {
	return &command.Console{In: strings.NewReader(""), Out: &o.out, Err: &o.err}
}

// model is the command line, to look at: each test that runs commands asks for it, and to make it is work.
var model = sync.OnceValue(func() *kong.Application {
	parser, err := newParser(new(root), new(output).console(), func(int) {})
	if err != nil {
		panic(err)
	}
	return parser.Model
})

// helpOf returns the output of a command's --help.
func helpOf(t *testing.T, args ...string) string {
	t.Helper()
	var o output
	parser, err := newParser(new(root), o.console(), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = parser.Parse(append(args, "--help")) // help does not end the parsing here, and it misses arguments then
	return o.out.String()
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{"help": "--help", "help stock load": "stock load --help", "stock help": "stock help", "": ""} {
		if got := strings.Join(asFlag(strings.Fields(asked)), " "); got != want {
			t.Errorf("sluice %s is taken for sluice %s, want sluice %s", asked, got, want)
		}
	}
	golden(t, "testdata/help/sluice.txt", helpOf(t))
	for _, leaf := range model().Leaves(false) {
		path := strings.Fields(leaf.Path())
		text := helpOf(t, path...)
		golden(t, "testdata/help/"+strings.Join(path, "-")+".txt", text)
		if leaf.Help == "" || !strings.Contains(leaf.Detail, "Example") {
			t.Errorf("%v has no help or no example", path)
		}
	}
}

// setting is a row of docs/configuration.md.
type setting struct {
	group, flag, env, preset, meaning, cost string
}

func TestConfigurationDocument(t *testing.T) {
	t.Parallel()
	var rows []setting
	users := map[setting][]*kong.Node{}
	add := func(s setting, user *kong.Node) {
		if len(users[s]) == 0 {
			rows = append(rows, s)
		}
		users[s] = append(users[s], user)
	}
	app := model()
	texts := config.TextsOf(app.Target)
	for _, f := range app.Flags {
		if len(f.Envs) > 0 {
			add(settingOf(f, texts), app.Node)
		}
	}
	for _, leaf := range app.Leaves(false) {
		for _, f := range leaf.Flags {
			if len(f.Envs) > 0 {
				add(settingOf(f, texts), leaf)
			}
		}
		for _, s := range secretsOf(leaf.Target) {
			add(s, leaf)
		}
	}
	slices.SortStableFunc(rows, func(a, b setting) int { return strings.Compare(a.group, b.group) })

	var b strings.Builder
	b.WriteString(configurationIntro)
	b.WriteString("\n| about | flag | environment | default | meaning | cost of raising it | commands |\n|---|---|---|---|---|---|---|\n")
	for _, s := range rows {
		if s.meaning == "" || s.cost == "" || s.group == "" {
			t.Errorf("%s (%s) lacks a meaning, a cost or a group", s.flag, s.env)
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s | %s | %s |\n", s.group, s.flag, s.env, s.preset, cell(s.meaning), cell(s.cost), names(users[s]))
	}
	b.WriteString(configurationEnd)
	golden(t, "../docs/configuration.md", b.String())
}

const configurationIntro = `# Configuration

Every setting is a flag and an environment variable. A flag wins. Write durations like ` + "`300ms`, `5s`, `24h`" + `, and lists
with commas.

A program with wrong settings ends with exit code 2 and names all of them at once, including files that it cannot read. It
names two kinds alone, before all others: a value that it cannot parse, such as a number with letters in it, and a wrong
setting of the log.

Secrets come from the environment, or from a file that a flag names. They have no flag themselves, because every process of
a machine can read the arguments of all others. They are never logged.

If you give no address, commands that look at stock or change it use those of a ` + "`sluice dev`" + ` that runs in the same
directory.

` + "`sluice config print edge`" + ` shows the settings that an edge would start with from this shell, and where each value is
from. Without a command it shows those of all commands.

This page is written by ` + "`go test ./cli -update`" + ` from the program itself.

## Settings
`

const configurationEnd = `
## Token keys

The file of ` + "`--token-key-file`" + ` is JSON, and only its owner may read it. ` + "`sluice token`" + ` signs with the first key. An edge
accepts tokens of all keys. ` + "`alg`" + ` is one of these two:

- HS256: ` + "`key`" + ` has 32 bytes or more.
- EdDSA: ` + "`key`" + ` is a seed of 32 bytes. An edge, which only verifies tokens, can have ` + "`public_key`" + ` instead.

Both members are base64url without padding.

    {"keys": [{"kid": "2026-01", "alg": "HS256", "key": "..."}]}

` + "`sluice dev`" + ` makes such a file for itself, and ` + "`sluice token keygen --out keys.json`" + ` makes one.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | it could not be done, or only in part; for ` + "`doctor`" + `, a check failed |
| 2 | the command line or a setting is wrong; nothing was done |
| 3 | the thing to show or change does not exist |
| 4 | the rules of stock forbid it; nothing was changed |
| 5 | it may or may not have been done: repeat the command as its message says |
| 6 | ` + "`reconcile`" + ` found differences |
| 7 | ` + "`reconcile`" + ` found none, and could not read everything |
| 130 | SIGINT, SIGTERM or SIGHUP ended it early: what was done until then stays, and the message says how to go on |

A service ends with 0 after such a signal, once it has drained, and so does ` + "`dev`" + `. A second SIGINT or SIGTERM ends any
command at once, by the signal itself.
`

func settingOf(f *kong.Flag, texts map[any]config.Text) setting {
	preset := f.Default
	switch {
	case preset != "":
		preset = "`" + preset + "`"
	case f.IsBool():
		preset = "`false`"
	default:
		preset = "none"
	}
	s := setting{flag: "`--" + f.Name + "`", env: strings.Join(f.Envs, " "), preset: preset, meaning: f.Help, cost: texts[f.Target.Addr().Interface()].Cost}
	if f.Group != nil {
		s.group = f.Group.Key
	}
	return s
}

// secretsOf finds what config.LoadSecrets fills in.
func secretsOf(target reflect.Value) []setting {
	var found []setting
	for i := range target.NumField() {
		field := target.Type().Field(i)
		switch {
		case field.Type == reflect.TypeFor[config.Secret]():
			env := field.Tag.Get("env")
			group := map[bool]string{true: "Redis", false: "MySQL"}[strings.HasPrefix(env, "SLUICE_REDIS_")]
			if of, ok := field.Tag.Lookup("group"); ok {
				group = of
			}
			found = append(found, setting{group: group, flag: "none: a secret", env: env, preset: "none", meaning: field.Tag.Get("help"), cost: "none"})
		case field.Type.Kind() == reflect.Struct && (field.IsExported() || field.Anonymous):
			found = append(found, secretsOf(target.Field(i))...)
		}
	}
	return found
}

// names lists commands, those that share a word together.
func names(users []*kong.Node) string {
	var list []string
	for i, user := range users {
		switch {
		case user.Parent == nil:
			return "all"
		case user.Parent.Parent == nil:
			list = append(list, user.Name)
		case i > 0 && users[i-1].Parent == user.Parent:
			list[len(list)-1] += "/" + user.Name
		default:
			list = append(list, user.Parent.Name+" "+user.Name)
		}
	}
	return strings.Join(list, ", ")
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// One flag means one thing: where several commands have it, its environment variable is the same, and so
// is its default, except for sluice dev, which has its own.
func TestFlagsAgree(t *testing.T) {
	t.Parallel()
	seen := map[string]setting{}
	for _, leaf := range model().Leaves(false) {
		if leaf.Name == "dev" {
			continue
		}
		for _, f := range leaf.Flags {
			s := settingOf(f, nil)
			if s.env == "" {
				continue
			}
			if f.Name == "ops-listen" {
				s.preset = "" // see TestDefaultPortsDoNotCollide
			}
			if first, ok := seen[f.Name]; ok && (first.env != s.env || first.preset != s.preset) {
				t.Errorf("%s: --%s is %s, %s, elsewhere %s, %s", leaf.Path(), f.Name, s.env, s.preset, first.env, first.preset)
			}
			seen[f.Name] = s
		}
	}
}

// Whatever roles are started side by side with their defaults, none takes another's port.
func TestDefaultPortsDoNotCollide(t *testing.T) {
	t.Parallel()
	users := map[string]string{}
	for _, leaf := range model().Leaves(false) {
		for _, f := range leaf.Flags {
			if f.Name != "listen" && !strings.HasSuffix(f.Name, "-listen") {
				continue
			}
			_, port, err := net.SplitHostPort(f.Default)
			user := leaf.Path() + " --" + f.Name
			if err != nil || port == "0" || users[port] != "" {
				t.Errorf("%s is %q by default, which is of %q too: %v", user, f.Default, users[port], err)
			}
			users[port] = user
		}
	}
	if len(users) < 9 { // two of the edge and of the shop, one of the persister, four of dev
		t.Errorf("found only %v", users)
	}
}

// Every change of stock can be looked at first, and is confirmed in one way.
func TestChangesAskAlike(t *testing.T) {
	t.Parallel()
	for _, leaf := range model().Leaves(false) {
		if _, ok := leaf.Target.Type().FieldByName("Writer"); !ok || leaf.Name == "doctor" || leaf.Path() == "reconcile report" { // reconcile changes something with --apply only
			continue
		}
		flags := map[string]*kong.Flag{}
		for _, f := range leaf.Flags {
			flags[f.Name] = f
		}
		for _, name := range []string{"yes", "dry-run"} {
			f, want := flags[name], reflect.TypeFor[command.Consent]()
			if f == nil {
				t.Errorf("%s has no --%s", leaf.Path(), name)
				continue
			}
			field, _ := want.FieldByName(map[string]string{"yes": "Yes", "dry-run": "DryRun"}[name])
			if f.Help != field.Tag.Get("help") {
				t.Errorf("%s: --%s says %q", leaf.Path(), name, f.Help)
			}
		}
	}
}

// A secret is shown by no help text, and by no error about how it was given.
func TestSecretsAreNotShown(t *testing.T) {
	const password = "hunter2"
	t.Chdir(t.TempDir()) // no development stack here
	t.Setenv("SLUICE_MYSQL_DSN", "root:"+password+"@tcp(127.0.0.1:1)/sluice")
	t.Setenv("SLUICE_REDIS_PASSWORD", password)
	var o output
	for _, args := range [][]string{
		{"stock", "show", "1", "--redis-addr", "127.0.0.1:1"},
		{"stock", "show", "1", "--redis-addr", "127.0.0.1:1", "--log-level", "debug"},
		{"stock", "show", "1"},
		{"doctor", "--redis-addr", "127.0.0.1:1", "--kafka-brokers", "127.0.0.1:1", "-o", "json"},
		{"edge", "--mysql-dsn=" + password},
		{"edge", "--mysql-dsn", password},
		{"edge", "--redis-password=" + password},
		{"sale", "show", "1", "--redis-addr", "127.0.0.1:1"},
	} {
		if code := Run(args, o.console()); code == command.ExitDone {
			t.Errorf("%v: exit code 0", args)
		}
	}
	for _, dsn := range []string{password, "root:" + password + "/sluice", "root:" + password + "@tcp(127.0.0.1:1/x", "root:" + password + "@foo(x)/y"} {
		t.Setenv("SLUICE_MYSQL_DSN", dsn)
		if code := Run([]string{"stock", "show", "1", "--redis-addr", "127.0.0.1:1"}, o.console()); code != command.ExitUsage {
			t.Errorf("a malformed DSN: exit code %d", code)
		}
	}
	o.out.WriteString(helpOf(t, "edge") + helpOf(t, "doctor") + helpOf(t, "dev"))
	if text := o.out.String() + o.err.String(); strings.Contains(text, password) {
		t.Errorf("the password is shown:\n%s", text)
	}
}

// Sluice dev finds wrong settings before it starts anything.
func TestDevelopmentStackIsCheckedBeforeItStarts(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		env  string
		args []string
		want []string
	}{
		{"", []string{"--listen", "foo", "--dev-listen", "bar", "--redis-addr", "baz"}, []string{`"foo"`, `dev-listen: "bar"`, `"baz"`}},
		{"", []string{"--rate-per-user=-1", "--rate-per-address=NaN", "--token-key-file", "none"}, []string{"rate-per-user: -1", "rate-per-address", "token-key-file"}},
		{"SLUICE_VECTOR_MAX=abc", nil, []string{"SLUICE_VECTOR_MAX"}},
		{"SLUICE_ACK=wat", nil, []string{`ack: "wat"`}},
		{"SLUICE_PERSISTER_WORKERS=0", nil, []string{"workers: 0"}},
		{"SLUICE_REDIS_PASSWORD_FILE=none", nil, []string{"redis-password-file: none: no such file"}},
		{"SLUICE_MYSQL_DSN=x", nil, []string{"mysql-dsn: malformed"}},
	} {
		name, value, _ := strings.Cut(c.env, "=")
		if name != "" {
			t.Setenv(name, value)
		}
		var o output
		code := Run(append([]string{"dev"}, c.args...), o.console())
		if name != "" {
			if err := os.Unsetenv(name); err != nil { // until the end of the test, which sets it back
				t.Fatal(err)
			}
		}
		if code != command.ExitUsage || strings.Contains(o.err.String(), "removing") {
			t.Errorf("%s %v: exit code %d, want %d; said %q", c.env, c.args, code, command.ExitUsage, o.err.String())
		}
		for _, want := range c.want {
			if !strings.Contains(o.err.String(), want) {
				t.Errorf("%s %v: said %q, want %q in it", c.env, c.args, o.err.String(), want)
			}
		}
		if _, err := os.Stat(".sluice"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s %v: something was started", c.env, c.args)
		}
	}
}

// The error about a flag of a change is in the flag's own words, whatever else is wrong.
func TestChangesNameFlagAndBound(t *testing.T) {
	t.Chdir(t.TempDir())
	adjust := []string{"stock", "adjust", "1", "--reason", "x"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{append(adjust, "--hold", "0s"), "hold: 0s: want 1ms to 720h0m0s"},
		{append(adjust, "--hold", "1500us"), "hold: 1.5ms: want 1ms to 720h0m0s, in whole ms"},
		{append(adjust, "--limit=-5"), "limit: -5: want 0 to 1000000"},
		{append(adjust, "--delta=-1099511627776"), "delta: -1099511627776: want -1099511627775 to 1099511627775"},
		{append(adjust, "--opens-at", "1960-01-01T00:00:00Z"), "want a time from 1970 to 9999"},
		{append(adjust, "--ack", "wat"), `ack: "wat": want default, redis`},
		{[]string{"stock", "adjust", "1", "--limit=-5", "--reason", ""}, "--reason is required: say why in a sentence"},
		{[]string{"stock", "freeze", "1", "--reason", strings.Repeat("x", 201)}, "reason: a text of 201 bytes"},
		{[]string{"stock", "unfreeze", "1", "--reason", "a\nb"}, `reason: "a\nb": want UTF-8 without`},
	} {
		var o output
		if code := Run(c.args, o.console()); code != command.ExitUsage || !strings.Contains(o.err.String(), c.want) {
			t.Errorf("%q: exit code %d, want %d; said %q, want %q in it", c.args, code, command.ExitUsage, o.err.String(), c.want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"dsn":        "root@tcp(a:1)/x",
		"stack.json": `{"redis_addr":"127.0.0.1:1","mysql_dsn":"root@tcp(127.0.0.1:1)/x","kafka_brokers":"127.0.0.1:1"}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string // on stderr
	}{
		{[]string{"version"}, command.ExitDone, ""},
		{[]string{}, command.ExitUsage, "want a command: edge, persister, catalog, migrate, grants, dev, seed, stock, "},
		{[]string{}, command.ExitUsage, "see sluice --help"},
		{[]string{"stock"}, command.ExitUsage, "want a command: load, list, show, shut, adjust, freeze, unfreeze\nsluice: see sluice stock --help"},
		{[]string{"steal"}, command.ExitUsage, "unexpected argument steal\nsluice: see sluice --help"},
		{[]string{"stok"}, command.ExitUsage, `did you mean "stock"?`},
		{[]string{"stock", "lod"}, command.ExitUsage, "did you mean \"load\"?\nsluice: see sluice stock --help"},
		{[]string{"stock", "load", "--dry-rum"}, command.ExitUsage, "did you mean \"--dry-run\"?\nsluice: see sluice stock load --help"},
		{[]string{"token"}, command.ExitUsage, "see sluice token issue --help"},
		{[]string{"edge"}, command.ExitUsage, "see sluice edge --help"},
		{[]string{"edge"}, command.ExitUsage, "token-key-file: missing: want the file of --token-key-file (SLUICE_TOKEN_KEY_FILE): sluice token keygen"},
		{[]string{"reservation", "show", "--redis-addr", "a:1", "--mysql-dsn-file", "dsn"}, command.ExitUsage, "<id>"},
		{[]string{"stock", "show", "1"}, command.ExitUsage, "redis-addr: missing"},
		{[]string{"stock", "show", "1"}, command.ExitUsage, "mysql-dsn: missing"},
		{[]string{"stock", "show", "1"}, command.ExitUsage, "no development stack runs here"},
		{[]string{"sale", "close", "1"}, command.ExitUsage, "no development stack runs here"},
		{[]string{"doctor"}, command.ExitUsage, "no development stack runs here"},
		{[]string{"edge", "--partitions", "0"}, command.ExitUsage, "partitions: 0: want 1 to 4096"},
		{[]string{"edge", "--partitions", "0"}, command.ExitUsage, "kafka-brokers: missing"},
		{[]string{"version", "--log-level", "loud"}, command.ExitUsage, "log-level"},
		{[]string{"token", "--user", "1", "--role", "shopper"}, command.ExitUsage, "SLUICE_TOKEN_KEY_FILE"},
		{[]string{"token", "--user", "0", "--role", "shopper", "--token-key-file", "none"}, command.ExitUsage, `--user: "0": want a whole number`},
		{[]string{"token", "--user", "1", "--role", "shopper", "--token-key-file", "none"}, command.ExitUsage, "token-key-file: there is no none: make it by sluice token keygen --out none"},
		{[]string{"edge", "--token-key-file", "none", "--drain-timeout", "0s"}, command.ExitUsage, "token-key-file: there is no none: make it by sluice token keygen --out none"},
		{[]string{"edge", "--token-key-file", "none", "--drain-timeout", "0s"}, command.ExitUsage, "drain-timeout: 0s"},
		{[]string{"catalog"}, command.ExitUsage, "token-key-file: missing: want the file of --token-key-file (SLUICE_TOKEN_KEY_FILE): sluice token keygen"},
		{[]string{"catalog", "--catalog-listen", "x", "--requests-max", "0"}, command.ExitUsage, "requests-max: 0: want 1 to 100000"},
		{[]string{"catalog", "migrate", "--owner", "nobody"}, command.ExitUsage, `owner "nobody": want place, account`},
		{[]string{"catalog", "migrate", "--shards-file", "none"}, command.ExitUsage, "shards: none: no such file"},
		{[]string{"catalog", "routes"}, command.ExitDone, ""},
		{[]string{"persister", "--workers", "0", "--drain-timeout", "0s"}, command.ExitUsage, "drain-timeout: 0s"},
		{[]string{"stock", "show", "1", "--redis-password-file", "none", "--mysql-dsn-file", "nowhere"}, command.ExitUsage, "redis-password-file: none: no such file"},
		{[]string{"stock", "show", "1", "--redis-password-file", "none", "--mysql-dsn-file", "nowhere"}, command.ExitUsage, "mysql-dsn-file: nowhere: no such file"},
		{[]string{"stock", "load", "nowhere", "--dev-file", "stack.json"}, command.ExitUsage, "stock file nowhere: no such file"},
		{[]string{"stock", "load", ".", "--yes", "--dev-file", "stack.json"}, command.ExitUsage, "is a directory"},
		{[]string{"stock", "load", "-", "--yes", "--dev-file", "stack.json"}, command.ExitUsage, "-: the file is empty"},
		{[]string{"sale", "create", "7", "--name", "x", "--items-file", "nowhere", "--yes", "--dev-file", "stack.json"}, command.ExitUsage, "sluice: items file nowhere: no such file"},
	} {
		var o output
		if code := Run(c.args, o.console()); code != c.code || !strings.Contains(o.err.String(), c.want) {
			t.Errorf("%v: exit code %d, want %d; said %q, want %q in it", c.args, code, c.code, o.err.String(), c.want)
		}
	}
}
