package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// The guide shows the clients as they are: bench/apptest runs them.
func TestGuideShowsTheClients(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../integration.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, language := range map[string]string{"client.go": "go", "client.py": "python", "client.mjs": "js"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if block := "```" + language + "\n" + string(code) + "```\n"; !strings.Contains(string(guide), block) {
			t.Errorf("docs/integration.md does not show docs/integration/%s as it is: copy the file into its block", file)
		}
	}
}

// What no edge has said is no answer, whatever its status: the clients ask again, with the same key. core/client has tests of its
// own.
func TestAnswersOfOthersAreNone(t *testing.T) {
	t.Parallel()
	clients := map[string][]string{
		"python":     {servicetest.Program(t, local.FindPython), "client.py"},
		"javascript": {servicetest.Program(t, local.FindNode), "client.mjs"},
	}
	for name, first := range map[string]func(w http.ResponseWriter){
		"a page of a proxy": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, "<html>")
		},
		"a time before now":     says(http.StatusServiceUnavailable, `{"code":"overloaded","retryable":true}`, "-5"),
		"no route":              says(http.StatusNotFound, `{"message":"no route"}`, ""),
		"a conflict of another": says(http.StatusConflict, `{"error":"conflict"}`, ""),
		"nothing":               says(http.StatusOK, `{}`, ""),
		"null":                  says(http.StatusOK, `null`, ""),
		"a list":                says(http.StatusBadGateway, `[]`, ""),
		"a login":               says(http.StatusFound, `{"state":"held"}`, ""),
	} {
		for language, command := range clients {
			t.Run(name+", "+language, func(t *testing.T) {
				t.Parallel()
				const id = "0015fef814d8a68b37d27e235b8d3c07"
				var seen sync.Map
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, again := seen.LoadOrStore(r.URL.Path+r.Header.Get("Idempotency-Key"), true); !again {
						first(w)
						return
					}
					state := "held"
					if strings.HasSuffix(r.URL.Path, "/confirm") {
						state = "confirmed"
					}
					says(http.StatusOK, fmt.Sprintf(`{"reservation_id":%q,"state":%q}`, id, state), "")(w)
				}))
				defer server.Close()
				cmd := exec.CommandContext(t.Context(), command[0], command[1], "order", "42", "1001", "1")
				cmd.Env = append(os.Environ(), "SLUICE_URL="+server.URL, "SLUICE_TOKEN=x", "PAYMENT=")
				if out, err := cmd.CombinedOutput(); err != nil || string(out) != "confirmed "+id+"\n" {
					t.Errorf("%v, printed %s", err, out)
				}
			})
		}
	}
}

// says is an answer in JSON.
func says(status int, body, retryAfter string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}
