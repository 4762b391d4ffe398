package load

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/bench/k6run"
	"sluice/bench/report"
	"sluice/core/problem"
)

// TestWordsOfK6: the scripts of k6/ call each answer of an edge as this package does. The one more word that they have is for a
// sale that is not open.
func TestWordsOfK6(t *testing.T) {
	t.Parallel()
	type reply struct {
		status int
		body   string
		replay bool
	}
	replies := []reply{
		{200, `{}`, false},
		{201, `{}`, false},
		{202, ``, false},
		{201, `{}`, true},
		{500, ``, false},
		{502, `<html>`, false},
		{503, `no problem document`, false},
		{504, ``, false},
		{429, ``, false},
		{404, ``, false},
		{301, ``, false},
	}
	for _, k := range problem.Kinds() {
		replies = append(replies, reply{k.Status, fmt.Sprintf(`{"code":%q}`, k.Code), false})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil || n >= len(replies) {
			t.Errorf("asked for %s", r.URL)
			return
		}
		if replies[n].replay {
			w.Header().Set("Idempotent-Replayed", "true")
		}
		w.WriteHeader(replies[n].status)
		_, _ = w.Write([]byte(replies[n].body))
	}))
	defer server.Close()
	lib, err := filepath.Abs("../../k6/lib")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if lib, err = filepath.Rel(dir, lib); err != nil {
		t.Fatal(err)
	}
	tokens, script := filepath.Join(dir, "tokens"), filepath.Join(dir, "words.ts")
	source := fmt.Sprintf(`
		import { ask } from "%[1]s/edge.ts";
		import { outcomeOf } from "%[1]s/outcome.ts";
		export const options = { scenarios: { once: { executor: "constant-arrival-rate", rate: 1, duration: "1s", preAllocatedVUs: 1 } } };
		export default function () {
			for (let n = 0; n < %[2]d; n++) {
				console.log(outcomeOf(ask({ method: "GET", path: "/" + n, name: "/", token: "x" })));
			}
		}`, lib, len(replies))
	for path, text := range map[string]string{tokens: "x\n", script: source} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	result, err := k6run.Run(t.Context(), k6run.Config{
		Script: script, Out: &said, Err: &said,
		Env: map[string]string{"TOKENS": tokens, "EDGE_URL": server.URL, "SERVICE_TOKEN": "x", "ADMIN_TOKEN": "x"},
	})
	words := strings.Fields(said.String())
	if err != nil || result.Err() != nil || len(words) != len(replies) {
		t.Fatalf("%v, %v, %d words\n%s", err, result.Err(), len(words), said.String())
	}
	for i, r := range replies {
		response := Response{Status: r.status, Body: []byte(r.body), Replay: r.replay}
		a := response.read()
		want := string(a.word)
		if a.word == report.Refused && a.code == problem.NotOpen.Code {
			want = "early"
		}
		if words[i] != want {
			t.Errorf("%d %s: k6 calls it %s, sluice bench %s", r.status, r.body, words[i], want)
		}
	}
}
