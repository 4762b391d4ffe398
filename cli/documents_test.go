package cli

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"mvdan.cc/sh/v3/syntax"

	"sluice/cli/command"
	"sluice/core/config"
	"sluice/core/ledger"
	"sluice/core/schema"
)

// further stands for flags that a command line needs and a document leaves out.
const further = "..."

// placeholders returns a value for each word that a reader has to replace in command lines of documents and help.
func placeholders(t *testing.T) map[string]string {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys.json")
	var o output
	if code := Run([]string{"token", "keygen", "--out", keys}, o.console()); code != command.ExitDone {
		t.Fatal(o.err.String())
	}
	shards := filepath.Join(t.TempDir(), "shards.json")
	writeShards(t, shards, map[string]string{"east": "sluice:x@tcp(east)/shop", "west": "sluice:x@tcp(west)/shop"})
	return map[string]string{"3b0c...8550": strings.Repeat("3b0c", 16), "keys.json": keys, "shards.json": shards}
}

// assumed are the addresses that command lines in documents leave out: those of a stack on the same machine are found.
var assumed = map[string]string{
	"SLUICE_MYSQL_DSN":  "sluice:x@tcp(db:3306)/sluice",
	"SLUICE_REDIS_ADDR": "redis:6379", "SLUICE_KAFKA_BROKERS": "kafka:9092",
}

// commandLine is a command line in a document, for its reader to type.
type commandLine struct {
	words []string
	part  bool // it needs further flags
	env   map[string]string
}

// commandLines are those of the program in a piece of shell.
func commandLines(t *testing.T, shell string, placeholders map[string]string) (lines []commandLine) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(shell), "")
	if err != nil {
		t.Errorf("%v in\n%s", err, shell)
		return nil
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok {
			return true
		}
		var words []string
		for _, arg := range call.Args {
			words = append(words, literal(arg))
		}
		if len(words) == 0 || filepath.Base(words[0]) != "sluice" {
			return true
		}
		line := commandLine{env: map[string]string{}, part: slices.Contains(words, further)}
		for _, word := range words[1:] {
			if word != further {
				line.words = append(line.words, cmp.Or(placeholders[word], word))
			}
		}
		for _, assign := range call.Assigns {
			line.env[assign.Name.Value] = literal(assign.Value)
		}
		lines = append(lines, line)
		return true
	})
	return lines
}

// literal is a word without its quotes.
func literal(word *syntax.Word) string {
	var text strings.Builder
	syntax.Walk(word, func(node syntax.Node) bool {
		switch part := node.(type) {
		case *syntax.Lit:
			text.WriteString(part.Value)
		case *syntax.SglQuoted:
			text.WriteString(part.Value)
		}
		return true
	})
	return text.String()
}

// namesLetter reports whether a command about a dead letter names it as the program does, or leaves that to the reader.
func (l commandLine) namesLetter() bool {
	if len(l.words) < 3 || l.words[0] != "deadletter" || l.words[1] == "list" || strings.HasPrefix(l.words[2], "-") {
		return true
	}
	_, err := ledger.ParseLetterID(l.words[2])
	return err == nil || l.words[2] == "ID"
}

// parses reads a command line as the program does, tells which command it is, and runs nothing.
func (l commandLine) parses() (*kong.Node, error) {
	if l.part {
		return l.names()
	}
	var o output
	lookup := func(name string) (string, bool) {
		value, ok := l.env[name]
		if !ok {
			value, ok = assumed[name]
		}
		return value, ok
	}
	cli := new(root)
	config.LoadSecrets(cli, lookup)
	parser, err := newParser(cli, o.console(), func(int) {})
	if err != nil {
		return nil, err
	}
	sentinels := slices.Contains(l.words, "--redis-sentinel-addrs") // instead of an address
	err = kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if value, ok := lookup(name); ok && (!sentinels || flag.Name != "redis-addr") {
				return value, nil
			}
		}
		return nil, nil
	})).Apply(parser)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(l.words)
	if err != nil {
		return nil, err
	}
	return parsed.Selected(), nil
}

// names checks that the commands and flags of a line exist, which need not be whole.
func (l commandLine) names() (*kong.Node, error) {
	var o output
	parser, err := newParser(new(root), o.console(), func(int) {})
	if err != nil {
		return nil, err
	}
	traced, err := kong.Trace(parser, l.words)
	if err != nil {
		return nil, err
	}
	return traced.Selected(), traced.Error
}

var (
	examples = regexp.MustCompile(`(?m)^Examples?:\n((?:  .*\n?)+)`)

	fenced  = regexp.MustCompile("(?s)(?:^|\n)```([a-z]*)\n(.*?\n)```\n") // in any language, or the end of one begins another
	inShell = []string{"", "sh", "bash", "shell", "console"}
	quoted  = regexp.MustCompile("`([^`\n]+)`")
	choice  = regexp.MustCompile(`(\w+)((?:\\?\|\w+)+)`) // of subcommands: open|close
)

// alternatives writes each choice of a piece of inline code out.
func alternatives(code string) []string {
	at := choice.FindStringIndex(code)
	if at == nil {
		return []string{code}
	}
	var all []string
	for word := range strings.SplitSeq(strings.ReplaceAll(code[at[0]:at[1]], `\|`, "|"), "|") {
		all = append(all, alternatives(code[:at[0]]+word+code[at[1]:])...)
	}
	return all
}

// TestDocumentsNameWhatThereIs: whole command lines, in blocks of code, are ones that the program takes; pieces of them
// in the text name commands and flags that it has.
func TestDocumentsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	pages := []string{"README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"}
	err := fs.WalkDir(os.DirFS(top), "docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	instead := placeholders(t)
	whole, pieces := 0, 0
	for _, page := range pages {
		data, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(inShell, block[1]) || !strings.Contains(block[2], "sluice ") {
				continue
			}
			for _, line := range commandLines(t, block[2], instead) {
				whole++
				if _, err := line.parses(); err != nil || !line.namesLetter() {
					t.Errorf("%s: sluice %s: %v", page, strings.Join(line.words, " "), err)
				}
			}
		}
		for _, code := range quoted.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if !strings.Contains(code[1], "sluice ") {
				continue
			}
			for _, one := range alternatives(code[1]) {
				for _, line := range commandLines(t, one, instead) {
					pieces++
					if _, err := line.names(); err != nil || !line.namesLetter() {
						t.Errorf("%s: sluice %s: %v", page, strings.Join(line.words, " "), err)
					}
				}
			}
		}
	}
	if whole < 7 || pieces < 20 {
		t.Errorf("only %d command lines and %d pieces found: they are not looked for right", whole, pieces)
	}
}

// TestInstallMakesEveryAccount checks that the page makes each account before its grants. MySQL stops at the first one
// that is missing.
func TestInstallMakesEveryAccount(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(top, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	made := func(account string) bool { return strings.Contains(string(page), "CREATE USER '"+account+"'@'%'") }
	for _, role := range schema.Roles {
		if !made(role.Account()) {
			t.Errorf("it makes no account %s", role.Account())
		}
	}
}

// TestExamplesOfHelp: each example in the help of a command is one that the program takes, and one of them is of that
// command.
func TestExamplesOfHelp(t *testing.T) {
	t.Parallel()
	instead := placeholders(t)
	for _, leaf := range model().Leaves(false) {
		var lines []commandLine
		if found := examples.FindStringSubmatch(leaf.Detail); found != nil {
			lines = commandLines(t, found[1], instead)
		}
		own := false
		for _, line := range lines {
			selected, err := line.parses()
			if err != nil {
				t.Errorf("%s: sluice %s: %v", leaf.Path(), strings.Join(line.words, " "), err)
				continue
			}
			own = own || selected.Path() == leaf.Path()
		}
		if !own {
			t.Errorf("%s has no example of its own", leaf.Path())
		}
	}
}
