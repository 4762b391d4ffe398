package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/bench/k6run"
	"sluice/core/auth"
)

const scenariosDir = "../../k6"

// places bounds how many scenarios run at once. Mostly they wait.
var places = make(chan struct{}, 8)

// begin runs a scenario for a second against an edge with a fault, and returns what waits for its end.
func begin(t *testing.T, name, fault string, extra map[string]string) (wait func() (k6run.Result, string, error)) {
	t.Helper()
	env := map[string]string{
		"DEV_FILE": startFake(t, fault), "OUT": t.TempDir(), "DURATION": "1s", "RATE": "20", "UNITS": "12", "BOT_RATE": "40", "BOTS": "3", "P95_MS": "60000",
		"DROPPED_MAX": "1000", "FAILED_PART": "0.5", "TRIES": "4", "PATIENCE_MS": "20000", "CONFIRM": "1", "RELEASE": "0", "BASKETS": "0",
	}
	maps.Copy(env, extra)
	var (
		said   bytes.Buffer
		result k6run.Result
		err    error
		ended  = make(chan struct{})
	)
	go func() {
		defer close(ended)
		places <- struct{}{}
		defer func() { <-places }()
		result, err = k6run.Run(t.Context(), k6run.Config{Script: filepath.Join(scenariosDir, name+".ts"), Env: env, Out: &said, Err: &said})
	}()
	return func() (k6run.Result, string, error) {
		<-ended
		if text, err := os.ReadFile(filepath.Join(env["OUT"], name+".html")); err == nil {
			for _, outside := range []string{"src=", "href=", "@import", "url("} {
				if bytes.Contains(text, []byte(outside)) {
					t.Errorf("the page has %s, so it may need another file", outside)
				}
			}
			if tables := bytes.Count(text, []byte("<table")); tables != bytes.Count(text, []byte("<caption>")) || bytes.Contains(text, []byte("<th>")) {
				t.Errorf("%d tables, and not each has a caption, or a header cell does not say of what it is one", tables)
			}
		}
		return result, said.String(), err
	}
}

func run1(t *testing.T, name, fault string, extra map[string]string) (k6run.Result, string, error) {
	t.Helper()
	return begin(t, name, fault, extra)()
}

// TestScenariosTellAMisbehavingEdge: each fault of an edge fails the thresholds that it should, and no others. An edge without
// one, or one whose answers get lost, passes.
func TestScenariosTellAMisbehavingEdge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scenario, fault string
		want            string // thresholds that fail
	}{
		{"flash_sale", "no fault", ""},
		{"retry_storm", "no fault", ""},
		{"bots", "no fault", ""},
		{"checkout", "no fault", ""},
		{"soak", "no fault", ""},
		{"flash_sale", "cut answers", ""},
		{"retry_storm", "cut answers", ""},
		{"flash_sale", "a lost unit", "truth: rate==1, truth_held_units: avg==0, truth_turned_away: avg<=0"},
		{"bots", "counters that do not add up", "truth: rate==1"},
		{"flash_sale", "a row that MySQL lacks", "truth: rate==1"},
		{"flash_sale", "a sale that is not counted", "truth: rate==1, truth_sold_units: avg==0"},
		{"flash_sale", "more units than there are", "truth: rate==1"},
		{"retry_storm", "a second effect of a key", "checks: rate==1, replayed: count>0, truth_held_units: avg==0"},
		{"bots", "no limit", "bot_units: count<=6, limited{who:bot}: count>0"},
		{"retry_storm", "status 500", "accepted: count>0, replayed: count>0, truth_turned_away: avg<=0, unsettled: count==0"},
		{"flash_sale", "status 500", "accepted: count>0, confirmed: count>0, http_req_failed: rate<=0.5, truth_turned_away: avg<=0, unsettled: count==0"},
		{"bots", "a broken answer", "accepted: count>0, limited{who:bot}: count>0, refused: count==0, shopper_units: count>0, truth_turned_away: avg<=0"},
		// Each sells nothing.
		{"flash_sale", "nothing for sale", "accepted: count>0, confirmed: count>0, truth_turned_away: avg<=0"},
		{"checkout", "nothing for sale", "abandoned: count>0, accepted: count>0, baskets: count>0, confirmed: count>0, released: count>0"},
		{"soak", "nothing for sale", "abandoned: count>0, accepted: count>0, accepted{fifth:0}: count>0, accepted{fifth:4}: count>0, " +
			"baskets: count>0, confirmed: count>0, released: count>0"},
		{"retry_storm", "nothing for sale", "accepted: count>0, replayed: count>0, truth_turned_away: avg<=0"},
		{"bots", "nothing for sale", "accepted: count>0, limited{who:bot}: count>0, shopper_units: count>0, truth_turned_away: avg<=0"},
		{"retry_storm", "no capacity", "accepted: count>0, replayed: count>0, truth_turned_away: avg<=0"},
		{"retry_storm", "a switch that trips", "accepted: count>0, replayed: count>0, truth_turned_away: avg<=0"},
		// Each keeps a unit from somebody who was to get it.
		{"flash_sale", "units that it keeps", "truth_turned_away: avg<=0"},
		{"flash_sale", "no capacity for some", "truth_turned_away: avg<=0"},
		{"flash_sale", "a limit for strangers", "truth_turned_away: avg<=0"},
		{"bots", "a limit for strangers", "limited{who:shopper}: count==0, truth_turned_away: avg<=0"},
		{"retry_storm", "no word of a replay", "checks: rate==1, replayed: count>0, truth_held_units: avg==0, truth_turned_away: avg<=0"},
		// Each leaves out a step.
		{"flash_sale", "nothing confirmed", "confirmed: count>0"},
		{"checkout", "nothing confirmed", "confirmed: count>0"},
		{"checkout", "nothing released", "released: count>0"},
		{"checkout", "no baskets", "baskets: count>0"},
		{"checkout", "holds that do not expire", "truth_held_units: avg==0"},
		{"soak", "nothing after a while", "accepted{fifth:4}: count>0"},
	} {
		extra := map[string]string{}
		switch {
		case c.fault == "status 500":
			extra["TRIES"], extra["RATE"] = "2", "5"
		case slices.Contains([]string{"no capacity for some", "a limit for strangers", "no word of a replay", "a sale that is not counted"}, c.fault):
			extra["UNITS"] = "1000"
		}
		switch c.scenario {
		case "bots":
			extra["UNITS"] = "1000"
		case "checkout", "soak":
			extra["UNITS"], extra["SKUS"], extra["HOLD_S"] = "1000", "2", "5"
			extra["CONFIRM"], extra["RELEASE"], extra["BASKETS"] = "0.4", "0.3", "0.3"
		}
		wait := begin(t, c.scenario, c.fault, extra)
		t.Run(c.scenario+" of an edge with "+c.fault, func(t *testing.T) {
			t.Parallel()
			result, said, err := wait()
			if err != nil || result.Exceptions > 0 || result.Interrupted > 0 {
				t.Fatalf("%v, %+v\n%s", err, result, said)
			}
			if got := strings.Join(result.Failed, ", "); got != c.want {
				t.Errorf("it fails %q\nwant     %q\n%s", got, c.want, said)
			}
		})
	}
}

// TestSettingsAreChecked: a run with a setting that makes no sense sends nothing.
func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "tokens.txt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, env := range map[string]map[string]string{
		"-e RATE=fast: want a whole number, 1 to 1000000":                                {"RATE": "fast"},
		"-e RATE=0: want a whole number":                                                 {"RATE": "0"},
		"-e DURATION=5: want a duration such as 30s, 10m or 2h":                          {"DURATION": "5"},
		"-e CONFIRM=1.5: want a number, 0 to 1":                                          {"CONFIRM": "1.5"},
		"together more than 1":                                                           {"CONFIRM": "0.7", "RELEASE": "0.4"},
		"-e EDGE_URL=127.0.0.1:8090: want the address of an edge":                        {"EDGE_URL": "127.0.0.1:8090"},
		"192.0.2.1 is not this machine: if you may load it, add -e I_MAY_LOAD=192.0.2.1": {"EDGE_URL": "http://192.0.2.1:80"},
		"open: ":           {"DEV_FILE": "/nowhere/dev.json"},
		"give -e EDGE_URL": {"TOKENS": empty, "EDGE_URL": "http://127.0.0.1:1"},
	} {
		if _, said, err := run1(t, "checkout", "", env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v\n%s", env, err, said)
		}
	}
}

// TestTokensOfAFile: with a file of tokens no key is needed. Its shoppers come again, and own no more for that.
func TestTokensOfAFile(t *testing.T) {
	t.Parallel()
	devFile := startFake(t, "")
	dev, err := os.ReadFile(devFile)
	if err != nil {
		t.Fatal(err)
	}
	var at struct {
		URL string `json:"edge_url"`
	}
	if err := json.Unmarshal(dev, &at); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(filepath.Join(filepath.Dir(devFile), "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	token := func(user int64, role auth.Role) string {
		issued, err := keys.Issue(auth.Claims{
			Identity: auth.Identity{Subject: user, Role: role}, Issuer: "sluice", Audience: "sluice",
			NotBefore: time.Now(), Expires: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	tokens := filepath.Join(t.TempDir(), "tokens.txt")
	if err := os.WriteFile(tokens, []byte(token(1, auth.RoleShopper)+"\n"+token(2, auth.RoleShopper)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	result, said, err := run1(t, "flash_sale", "", map[string]string{
		"DEV_FILE": "/nowhere", "PWD": filepath.Dir(tokens), "TOKENS": filepath.Base(tokens), "EDGE_URL": at.URL, "SERVICE_TOKEN": token(3, auth.RoleService), "ADMIN_TOKEN": token(4, auth.RoleAdmin),
	})
	if err != nil || result.Err() != nil || !regexp.MustCompile(`accepted +2 `).MatchString(said) || !strings.Contains(said, "limited") {
		t.Errorf("%v, %v: want a unit for each of the two\n%s", err, result.Err(), said)
	}
}

// TestTokensOutliveTheRun: k6 makes no token of a file anew, so those that end too early are refused before anything is sent. It
// counts how long shoppers come, in all stages. So are too few for users who must differ.
func TestTokensOutliveTheRun(t *testing.T) {
	t.Parallel()
	ending := func(in time.Duration) string {
		return "x." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(in).Unix())) + ".x"
	}
	tokens := func(token string) string {
		path := filepath.Join(t.TempDir(), "tokens.txt")
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	day, hour := ending(24*time.Hour), ending(time.Hour)
	for _, c := range []struct {
		scenario, duration, shoppers, service, admin string
		want                                         string
	}{
		{"soak", "1h", hour, day, day, "TOKENS: good for"},
		{"soak", "2h", day, hour, day, "SERVICE_TOKEN: good for"},
		{"checkout", "1h", day, day, hour, "ADMIN_TOKEN: good for"},
		{"flash_sale", "46m", hour, day, day, "TOKENS: good for"},
		{"bots", "1h", hour, day, day, "make tokens that last longer by sluice token --ttl"},
		{"bots", "1m", hour, day, day, "TOKENS: 1 of them, and the run has 63 users who must differ"},
		{"retry_storm", "59m", hour, hour, hour, "TOKENS: good for"},
		{"soak", "30m", hour, "opaque", day, "status 0"}, // all is well, but no edge is there
	} {
		_, said, err := run1(t, c.scenario, "", map[string]string{
			"DEV_FILE": "/nowhere", "TOKENS": tokens(c.shoppers), "EDGE_URL": "http://127.0.0.1:1", "DURATION": c.duration, "RATE": "1",
			"SERVICE_TOKEN": c.service, "ADMIN_TOKEN": c.admin,
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: %v, want %q\n%s", c.scenario, c.duration, err, c.want, said)
		}
	}
}

// TestEveryScenarioIsSmoked: make k6-smoke has short settings for each.
func TestEveryScenarioIsSmoked(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), io.Discard, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no scenarios in") {
		t.Errorf("an empty directory: %v", err)
	}
	scripts, err := filepath.Glob(filepath.Join(scenariosDir, "*.ts"))
	if err != nil || len(scripts) < 5 {
		t.Fatalf("%d scenarios, %v", len(scripts), err)
	}
	for _, script := range scripts {
		if settings[nameOf(script)] == nil {
			t.Errorf("%s has no settings", script)
		}
	}
}

// TestMakeSaysWhereK6Is, and which scenarios there are, before it builds or runs anything.
func TestMakeSaysWhereK6Is(t *testing.T) {
	t.Parallel()
	path := t.TempDir() // without k6
	for _, program := range []string{"make", "sh"} {
		found, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(found, filepath.Join(path, program)); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string]string{
		"https://grafana.com/docs/k6/latest/set-up/install-k6/":   "SCENARIO=bots",
		"want one of bots checkout flash_sale retry_storm soak\n": "SCENARIO=none",
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(path, "make"), "-C", "../..", "k6", args)
		cmd.Env = []string{"PATH=" + path, "HOME=" + path}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("make k6 %s: %v\n%s", args, err, out)
		}
	}
}
