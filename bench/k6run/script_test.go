package k6run

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// script is a script that a test writes. Its functions may use ok(CONDITION, NAME), which throws.
type script struct {
	result  Result
	summary map[string]metricSummary
	said    string
	err     error
}

// once is an executor of one iteration; a script may write ONCE for it.
const once = `{executor: "constant-arrival-rate", rate: 1, duration: "1s", preAllocatedVUs: 1}`

// runScript runs a script, with one iteration unless it exports other options. __ENV.URL is where a server echoes.
func runScript(t *testing.T, source string) script {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/cut":
			panic(http.ErrAbortHandler)
		default:
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Of", r.Header.Get("X-Of"))
			_ = json.NewEncoder(w).Encode(map[string]string{"method": r.Method, "path": r.URL.Path, "body": string(body)})
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	if !strings.Contains(source, "export const options") {
		source += "\nexport const options = {scenarios: {s: ONCE}};\n"
	}
	source = strings.ReplaceAll(source, "ONCE", once)
	source += `
function ok(is, what) { if (!is) throw new Error("not so: " + what); }
export function handleSummary(data) { return {stderr: "", [__ENV.DIR + "/summary.json"]: JSON.stringify(data.metrics)}; }
`
	path := filepath.Join(dir, "script.js")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	var s script
	var said bytes.Buffer
	s.result, s.err = Run(t.Context(), Config{Script: path, Env: map[string]string{"URL": server.URL, "DIR": dir}, Out: io.Discard, Err: &said})
	s.said = said.String()
	if s.err == nil {
		text, err := os.ReadFile(filepath.Join(dir, "summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &s.summary); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestModules runs a script for each module, which throws where something is not as k6's documentation says.
func TestModules(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"request": `
			import http from "k6/http";
			export default function () {
				const r = http.request("POST", __ENV.URL + "/a", "x", {headers: {"X-Of": "7"}, tags: {name: "a"}, timeout: "5s"});
				ok(r.status === 200 && r.json().method === "POST" && r.json().body === "x", r.body);
				ok(r.headers["X-Of"] === "7" && r.timings.duration > 0 && r.error === "" && r.error_code === 0, "answer");
				ok(JSON.parse(http.request("GET", __ENV.URL + "/b").body).path === "/b", "get");
			}`,
		"errors": `
			import { request } from "k6/http";
			const get = (url, params) => request("GET", url, null, params);
			export default function () {
				ok(get(__ENV.URL + "/404").error_code === 1404, "404");
				const slow = get(__ENV.URL + "/slow", {timeout: 50});
				ok(slow.status === 0 && slow.error_code === 1050 && slow.body === null && slow.error !== "", "timeout");
				const refused = get("http://127.0.0.1:1/");
				ok(refused.status === 0 && refused.error_code === 1212, "refused " + refused.error_code);
				const cut = get(__ENV.URL + "/cut");
				ok(cut.status === 0 && cut.error_code >= 1000 && cut.error_code < 1300, "cut " + cut.error_code);
			}`,
		"batch": `
			import http from "k6/http";
			export default function () {
				const all = http.batch(["1", "2", "3"].map((p) => ({method: "GET", url: __ENV.URL + "/" + p, params: {headers: {"X-Of": p}}})));
				ok(all.length === 3 && all.every((r, i) => r.json().path === "/" + (i + 1) && r.headers["X-Of"] === String(i + 1)), "order");
			}`,
		"crypto and encoding": `
			import { hmac } from "k6/crypto";
			import encoding from "k6/encoding";
			export default function () {
				const of = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"; // HMAC-SHA256 of two empty texts
				ok(hmac("sha256", "", "", "hex") === of, "hmac");
				ok(hmac("sha256", new ArrayBuffer(0), "", "base64rawurl") === "thNnmggU2ex3L5XXeMNfxf8Wl8STcVZTxscSFEKSxa0", "raw");
				ok(encoding.b64encode("\u00fb\u00ff") === "w7vDvw==" && encoding.b64encode("a", "rawurl") === "YQ", "encode");
				const bytes = new Uint8Array(encoding.b64decode("_-8", "rawurl"));
				ok(bytes.length === 2 && bytes[0] === 255 && bytes[1] === 239, "decode");
			}`,
		"data": `
			import { SharedArray } from "k6/data";
			const list = new SharedArray("list", () => { console.log("made"); return [{n: 1}, {n: 2}]; });
			export default function () {
				ok(list.length === 2 && list[1].n === 2 && list[2] === undefined, "items");
				list[0].n = 7;
				ok(list[0].n === 1, "a copy");
				let refused = false;
				try { list[0] = 1; } catch (e) { refused = true; }
				ok(refused, "not to be changed");
			}`,
		"execution": `
			import exec from "k6/execution";
			export const options = {scenarios: {named: {executor: "constant-arrival-rate", rate: 6, duration: "1s", preAllocatedVUs: 2, exec: "other"}}};
			export function other() {
				ok(exec.scenario.iterationInTest >= 0 && exec.scenario.iterationInTest < 6, "iteration");
				ok(exec.scenario.progress >= 0 && exec.scenario.progress <= 1, "progress");
			}`,
		"check and sleep": `
			import { check, sleep } from "k6";
			export default function () {
				const start = Date.now();
				sleep(0.05);
				ok(Date.now() - start >= 49, "sleep");
				ok(check(3, {"is three": (n) => n === 3, plain: true}) === true, "passes");
				ok(check(3, {"is four": (n) => n === 4}) === false, "fails");
			}`,
		"life": `
			export function setup() { return {list: [1]}; }
			let mine = 0; // a user sees its own change in its next iteration
			export default function (data) { ok(data.list.length === 1 - Math.min(mine++, 1), "a copy for each user"); data.list = []; }
			export function teardown(data) { ok(data.list.length === 1, "teardown has its own"); }
			export const options = {scenarios: {s: {executor: "constant-arrival-rate", rate: 3, duration: "1s", preAllocatedVUs: 3}}};`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := runScript(t, source)
			if name == "data" && s.said != "made\n" {
				t.Errorf("said %q, want that the list is made once", s.said)
			}
			if s.err != nil || s.result.Err() != nil {
				t.Errorf("%v, %v\n%s", s.err, s.result.Err(), s.said)
			}
		})
	}
}

// TestMetrics sums samples up as k6's documentation says, for each kind, and apart for the tags of submetrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := runScript(t, `
		import { check } from "k6";
		import http from "k6/http";
		import { Counter, Rate, Trend } from "k6/metrics";
		const c = new Counter("c"), r = new Rate("r"), d = new Trend("d", true);
		http.setResponseCallback(http.expectedStatuses(404, {min: 500, max: 599}));
		export const options = {
			scenarios: {s: {...ONCE, tags: {of: "all"}}},
			thresholds: {"c{side:left}": ["count==3"], "c{side:left,of:all}": ["count==3"], "c{side:none}": ["count==0"], d: ["avg==0"], r: ["rate==0.75"]},
			summaryTrendStats: ["avg", "min", "med", "max", "p(90)", "count"],
		};
		export default function () {
			c.add(3, {side: "left"}); c.add(4, {side: "right"});
			r.add(true); r.add(0); r.add(1); r.add(-1);
			[-10, 1, 2, 3, 4].forEach((n) => d.add(n));
			check(1, {a: (n) => n === 1, b: false});
			http.request("GET", __ENV.URL + "/404"); http.request("GET", __ENV.URL);
		}`)
	if s.err != nil || s.result.Err() != nil {
		t.Fatalf("%v, %v\n%s", s.err, s.result.Err(), s.said)
	}
	for name, want := range map[string]map[string]float64{
		"c": {"count": 7}, "c{side:left}": {"count": 3}, "c{side:none}": {"count": 0},
		"r":      {"rate": 0.75, "passes": 3, "fails": 1},
		"d":      {"avg": 0, "min": -10, "med": 2, "max": 4, "p(90)": 3.6, "count": 5},
		"checks": {"rate": 0.5}, "iterations": {"count": 1}, "http_reqs": {"count": 2}, "http_req_failed": {"rate": 0.5},
	} {
		for stat, value := range want {
			if got := s.summary[name].Values[stat]; got != value {
				t.Errorf("%s: %s is %v, want %v", name, stat, got, value)
			}
		}
	}
	if d := s.summary["d"]; d.Type != trend || d.Contains != "time" || !d.Thresholds["avg==0"].OK {
		t.Errorf("d: %+v", d)
	}
}

// TestCountersHaveARate per second, and not of samples.
func TestCountersHaveARate(t *testing.T) {
	t.Parallel()
	var s sums
	s.add(counter, 3)
	s.add(counter, 4)
	if got := s.value(counter, "rate", 2*time.Second); got != 3.5 {
		t.Errorf("7 in 2 s are %v per second", got)
	}
}

// TestSummaryHasTheChecks, each with how often it was passed.
func TestSummaryHasTheChecks(t *testing.T) {
	t.Parallel()
	r := &run{metrics: newMetrics(), checks: map[string]*[2]int64{}}
	for _, passed := range []bool{true, false, true} {
		r.checked("b", passed)
	}
	r.checked("a", false)
	got := r.summary(&options{}, nil, time.Second).RootGroup.Checks
	if want := []checkSummary{{"a", 0, 1}, {"b", 2, 1}}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestThresholdsFailTheRun takes each operator and aggregate, held and not.
func TestThresholdsFailTheRun(t *testing.T) {
	t.Parallel()
	s := runScript(t, `
		import { Counter, Rate, Trend } from "k6/metrics";
		const c = new Counter("c"), r = new Rate("r"), d = new Trend("d"), none = new Counter("none"), never = new Rate("never");
		export const options = {scenarios: {s: ONCE}, thresholds: {
			c: ["count<7", "count<=7", "count == 7", "count===7", "count!=7", "rate>0"], r: ["rate<0.5"],
			d: ["p(50)<2", "p(99.9) > 2.9", "med==2", "max<3", "min==1", "avg>-1"], none: ["count==0", "count>0"], never: ["rate==1"], "c{side:left}": ["count==7"],
		}};
		export default function () { c.add(7, {side: "left"}); r.add(1); [1, 2, 3].forEach((n) => d.add(n)); }`)
	if s.err != nil {
		t.Fatal(s.err)
	}
	want := "c: count<7, c: count!=7, d: p(50)<2, d: max<3, none: count>0, r: rate<0.5"
	if got := strings.Join(s.result.Failed, ", "); got != want {
		t.Errorf("failed: %s\nwant:   %s", got, want)
	}
	if err := s.result.Err(); err == nil || !strings.Contains(err.Error(), "threshold failed: r: rate<0.5") {
		t.Errorf("the run says %v", err)
	}
}

// TestWhatIsNotHereIsRefused: a script that needs more than the stand-in has must not seem to pass.
func TestWhatIsNotHereIsRefused(t *testing.T) {
	t.Parallel()
	body := func(imports, code string) string { return imports + "\nexport default function () { " + code + " }" }
	httpIn := `import http from "k6/http";`
	for want, source := range map[string]string{
		`import "k6/ws": this stand-in for k6 does not have it`:            body(`import ws from "k6/ws";`, "ws.connect();"),
		`import "https://jslib.k6.io/a.js": this stand-in`:                 body(`import x from "https://jslib.k6.io/a.js";`, "x();"),
		"k6 wants the name of the file with its extension":                 body(`import x from "./other";`, "x();"),
		`No matching export in "k6:k6" for import "group"`:                 body(`import { group } from "k6";`, "group();"),
		"k6/http.del is not in this stand-in for k6":                       body(httpIn, "http.del(__ENV.URL);"),
		"response.html is not in this stand-in for k6":                     body(httpIn, `http.request("GET", __ENV.URL).html();`),
		"parameter jar of a request is not in this stand-in":               body(httpIn, `http.request("GET", __ENV.URL, null, {jar: 1});`),
		"this stand-in follows none":                                       body(httpIn, `http.request("GET", __ENV.URL, null, {redirects: 3});`),
		"not a loopback address: this stand-in sends load to this machine": body(httpIn, `http.request("GET", "http://192.0.2.1/");`),
		"this stand-in sends to http:// addresses":                         body(httpIn, `http.request("GET", "https://127.0.0.1/");`),
		"k6/http: only in functions":                                       `import { request } from "k6/http"; request("GET", __ENV.URL); export default function () {}`,
		"new metric: only outside functions":                               body(`import { Rate } from "k6/metrics";`, `new Rate("r");`),
		"give an absolute one":                                             `const text = open("doc.go"); export default function () {}`,
		"open: only outside functions":                                     body("", `open("x");`),
		"r.add(x): want a number":                                          `import { Rate } from "k6/metrics"; const r = new Rate("r"); export default function () { r.add("x"); }`,
		`metric "m" is there already, as another kind`:                     `import { Rate, Trend } from "k6/metrics"; new Rate("m"); new Trend("m"); export default function () {}`,
		"hmac: sha1: this stand-in has sha256 only":                        body(`import { hmac } from "k6/crypto";`, `hmac("sha1", "", "", "hex");`),
		"console.table is not in this stand-in":                            body("", "console.table([]);"),
		`unknown object member name "vus"`:                                 body("", "") + "\nexport const options = {vus: 3};",
		"options have no scenarios":                                        body("", "") + "\nexport const options = {};",
		`executor "ramping-vus": this stand-in has constant-arrival-rate`:  body("", "") + `export const options = {scenarios: {s: {executor: "ramping-vus"}}};`,
		"constant-arrival-rate has no stages":                              body("", "") + `export const options = {scenarios: {s: {...ONCE, stages: []}}};`,
		"preAllocatedVUs is missing":                                       body("", "") + `export const options = {scenarios: {s: {executor: "constant-arrival-rate", rate: 1, duration: "1s"}}};`,
		`"1 minute" is no duration`:                                        body("", "") + `export const options = {scenarios: {s: {...ONCE, duration: "1 minute"}}};`,
		"cannot unmarshal":                                                 body("", "") + `export const options = {scenarios: {s: {...ONCE, rate: 0.5}}};`,
		"the script exports no function other":                             body("", "") + `export const options = {scenarios: {s: {...ONCE, exec: "other"}}};`,
		"has no abortOnFail":                                               body("", "") + `export const options = {scenarios: {s: ONCE}, thresholds: {iterations: [{threshold: "count>0", abortOnFail: true}]}};`,
		"k6/metrics.Gauge is not in this stand-in":                         body(`import metrics from "k6/metrics";`, "metrics.Gauge;"),
		"scenario.name is not in this stand-in":                            body(`import exec from "k6/execution";`, "exec.scenario.name;"),
		"k6/execution.vu is not in this stand-in":                          body(`import exec from "k6/execution";`, "exec.vu.idInTest;"),
		"__VU is not defined":                                              body("", "__VU;"),
		`threshold nothing: "count>0": there is no such metric`:            body("", "") + `export const options = {scenarios: {s: ONCE}, thresholds: {nothing: ["count>0"]}};`,
		`threshold iterations: "p(95)<1": a counter has no p(95)`:          body("", "") + `export const options = {scenarios: {s: ONCE}, thresholds: {iterations: ["p(95)<1"]}};`,
		`threshold iterations: "few": want such as`:                        body("", "") + `export const options = {scenarios: {s: ONCE}, thresholds: {iterations: ["few"]}};`,
		"setup: Error: no":                                                 body("", "") + `export function setup() { throw new Error("no"); }`,
		"teardown: Error: no":                                              body("", "") + `export function teardown() { throw new Error("no"); }`,
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := runScript(t, source)
			said := s.said
			if s.err != nil {
				said = s.err.Error()
			} else if s.result.Exceptions == 0 {
				t.Fatal("it passes")
			}
			if !strings.Contains(said, want) {
				t.Errorf("it says %s", said)
			}
		})
	}
}
