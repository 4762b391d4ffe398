package cli

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/cli/command"
	"sluice/core/schema"
	"sluice/core/show"
	"sluice/core/telemetry"
)

// top is the directory of the repository.
const top = ".."

// pages returns the texts that people read, by path within the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "docs/runbooks/*.md", "deploy/systemd/*"} {
		paths, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(top, path)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = string(text)
		}
	}
	return texts
}

var (
	metricName = regexp.MustCompile(`\bsluice_(?:core|edge|persister|catalog)_[a-z0-9_]+\b(?:\{[^}]*\})?`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
)

// unknownMetrics are the names and labels of metrics in a text that nothing has.
func unknownMetrics(text string) (unknown []string) {
	labels := map[string][]string{} // by name
	for _, f := range telemetry.Families() {
		labels[f.Name] = strings.Fields(f.Labels)
		if f.Kind == telemetry.Histogram {
			labels[f.Name+"_sum"], labels[f.Name+"_count"] = labels[f.Name], labels[f.Name]
			labels[f.Name+"_bucket"] = append(slices.Clone(labels[f.Name]), "le")
		}
	}
	for _, found := range metricName.FindAllString(text, -1) {
		name, matchers, _ := strings.Cut(found, "{")
		has, ok := labels[name]
		if !ok {
			unknown = append(unknown, name)
		}
		for _, label := range labelName.FindAllStringSubmatch(matchers, -1) {
			if !slices.Contains(has, label[1]) {
				unknown = append(unknown, name+"{"+label[1]+"}")
			}
		}
	}
	return unknown
}

func TestPagesNameMetricsThatAre(t *testing.T) {
	t.Parallel()
	if unknownMetrics(`max(sluice_edge_outbox_entries) sluice_persister_shut_cells{kind="x"} sluice_edge_batch_vector_requests_sum`) != nil ||
		len(unknownMetrics(`sluice_edge_outbox_entry sluice_persister_shut_cells{kind="x", of="y"} sluice_edge_outbox_entries_sum`)) != 3 {
		t.Error("known and unknown metrics are not told from each other")
	}
	for page, text := range pages(t) {
		if unknown := unknownMetrics(text); unknown != nil {
			t.Errorf("%s: there is no %v", page, unknown)
		}
	}
}

// TestSecurityPageHasTheGrants compares the statements of docs/security.md with those that the program prints.
func TestSecurityPageHasTheGrants(t *testing.T) {
	t.Parallel()
	page := pages(t)["docs/security.md"]
	if printed := grants(t); !strings.Contains(page, "```sql\n"+printed+"```\n") {
		t.Errorf("the page has other statements than sluice grants, which prints\n%s", printed)
	}
	if strings.Count(page, "```sql\n") != 1 {
		t.Error("the page has SQL besides the grants")
	}
}

// grants returns the output of sluice grants.
func grants(t *testing.T, flags ...string) string {
	t.Helper()
	var o output
	if code := Run(append([]string{"grants"}, flags...), o.console()); code != command.ExitDone {
		t.Fatal(flags, code, o.err.String())
	}
	return o.out.String()
}

// TestGrantsOfOneRole prints what one account needs, and refuses what cannot be meant.
func TestGrantsOfOneRole(t *testing.T) {
	t.Parallel()
	if got, want := grants(t, "--role=migrate", "--database=shop", "--user=me", "--host=10.%"), "GRANT ALL PRIVILEGES ON `shop`.* TO 'me'@'10.%';\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	all := grants(t)
	for _, role := range schema.Roles {
		if one := grants(t, "--role="+string(role)); !strings.Contains(all, one) || !strings.Contains(one, "TO 'sluice_"+string(role)+"'@'%';\n") {
			t.Errorf("for %s it prints %q, which is no part of all", role, one)
		}
	}
	for _, wrong := range [][]string{{"--role=root"}, {"--user=me"}, {"--role=edge", "--user=o'brien"}, {"--database=a`b"}, {"--host=\\"}} {
		var o output
		if code := Run(append([]string{"grants"}, wrong...), o.console()); code != command.ExitUsage || o.out.Len() > 0 {
			t.Errorf("%q: exit code %d, printed %q", wrong, code, o.out.String())
		}
	}
}

var (
	variable = regexp.MustCompile(`\bSLUICE_[A-Z_]+\b`)
	flagSpan = regexp.MustCompile("`--([a-z-]+)[^`]*`")
)

// elsewhere are variables and flags that pages name and sluice has not: those of tests, of the clients in
// docs/integration, and of kong.
var elsewhere = []string{"SLUICE_BENCH_CELLS", "SLUICE_KAFKA_VERSION", "SLUICE_REDIS_SERVER", "SLUICE_SKIPPED", "SLUICE_URL", "SLUICE_TOKEN", "help", "version"}

// TestPagesNameSettingsThatAre looks for settings that do not exist.
func TestPagesNameSettingsThatAre(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, name := range elsewhere {
		known[name] = true
	}
	app := model()
	note := func(node *kong.Node) {
		for _, f := range node.Flags {
			known[f.Name] = true
			for _, env := range f.Envs {
				known[env] = true
			}
		}
		for _, s := range secretsOf(node.Target) {
			known[strings.Trim(s.env, "`")] = true
		}
	}
	note(app.Node)
	for _, leaf := range app.Leaves(false) {
		note(leaf)
	}
	for page, text := range pages(t) {
		for _, name := range variable.FindAllString(text, -1) {
			if !known[name] {
				t.Errorf("%s: there is no variable %s", page, name)
			}
		}
		for _, flag := range flagSpan.FindAllStringSubmatch(text, -1) {
			if !known[flag[1]] {
				t.Errorf("%s: there is no flag --%s", page, flag[1])
			}
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestPagesLinkToWhatIs follows links between pages, and to their headings.
func TestPagesLinkToWhatIs(t *testing.T) {
	t.Parallel()
	for page, text := range pages(t) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			to, anchor, _ := strings.Cut(found[1], "#")
			path := filepath.Join(top, page)
			if to != "" {
				path = filepath.Join(top, filepath.Dir(page), to)
			}
			target, err := os.ReadFile(path)
			if stat, statErr := os.Stat(path); statErr == nil && stat.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(string(target)), anchor) {
				t.Errorf("%s: %s has no heading %q", page, to, anchor)
			}
		}
	}
}

// anchors are the names that headings of a page have in links.
func anchors(text string) (names []string) {
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-"))
	}
	return names
}

// TestSystemdUnits checks the units with systemd, if it is installed. They leave a service enough time to stop.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	var drain command.Drain
	if err := kong.ApplyDefaults(&drain); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var units []string
	for page, text := range pages(t) {
		if !strings.HasSuffix(page, ".service") {
			continue
		}
		start := regexp.MustCompile(`(?m)^ExecStart=(\S+) (.+)$`).FindStringSubmatch(text)
		if len(start) != 3 {
			t.Errorf("%s starts nothing", page)
			continue
		}
		if _, err := (commandLine{words: strings.Fields(start[2])}).names(); err != nil {
			t.Errorf("%s: %v", page, err)
		}
		stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(text)
		if len(stop) != 2 {
			t.Errorf("%s does not say how long its service may take to stop", page)
		} else if within, err := time.ParseDuration(stop[1] + "s"); err != nil || within <= drain.Timeout {
			t.Errorf("%s kills its service after %v (%v), and a drain takes up to %v", page, within, err, drain.Timeout)
		}
		unit := filepath.Join(dir, filepath.Base(page))
		if err := os.WriteFile(unit, []byte(strings.Replace(text, start[1], os.Args[0], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		units = append(units, unit)
	}
	if len(units) != 5 {
		t.Errorf("found the units %v, want those of edge, persister, catalog, archive and archive-verify", units)
	}
	timers := 0
	for page, text := range pages(t) {
		if !strings.HasSuffix(page, ".timer") {
			continue
		}
		timers++
		unit := filepath.Join(dir, filepath.Base(page))
		if service := strings.TrimSuffix(unit, ".timer") + ".service"; !slices.Contains(units, service) {
			t.Errorf("%s starts nothing: there is no %s", page, service)
		}
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		units = append(units, unit)
	}
	if timers != 2 {
		t.Errorf("found %d timers, want those of archive and archive-verify", timers)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the units were only read")
		return
	}
	out, err := exec.CommandContext(t.Context(), analyze, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// members are the names in a JSON text and the objects that they belong to, in their order. Lines of dots are left out.
func members(t *testing.T, document string) (names []string) {
	t.Helper()
	document = regexp.MustCompile(`(?m)^ *…\n`).ReplaceAllString(document, "")
	decoder := jsontext.NewDecoder(strings.NewReader(document), jsontext.AllowDuplicateNames(false))
	for {
		token, err := decoder.ReadToken()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if kind, n := decoder.StackIndex(decoder.StackDepth()); kind == jsontext.KindBeginObject && n%2 == 1 && token.Kind() == jsontext.KindString {
			names = append(names, string(decoder.StackPointer()))
		}
	}
}

// The README shows the stock in both stores with the members of the answer, in its order.
func TestReadmeShowsTheAnswerOfTheStockPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(page), "/stock/1001\n")
	sample, _, _ = strings.Cut(sample, "```")
	answer, err := json.Marshal([]show.Compared{{SKU: 1001, Redis: &show.Cell{}, MySQL: &show.Projection{}, Status: "in_sync"}})
	if err != nil {
		t.Fatal(err)
	}
	shown, left := members(t, sample), members(t, string(answer))
	if len(shown) < 10 {
		t.Fatalf("the sample shows %q", shown)
	}
	for _, name := range shown {
		i := slices.Index(left, name)
		if i < 0 {
			t.Fatalf("%s is not in the answer, or not in its place there", name)
		}
		left = left[i+1:]
	}
}
