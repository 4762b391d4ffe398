package web_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/catalog/internal/web"
	"sluice/core/ids"
	"sluice/core/problem"
)

// A client that sends its body slowly, or never, keeps no place of others.
func TestSlowBodiesTakeNoPlace(t *testing.T) {
	t.Parallel()
	s := server(t, nil, // one place
		web.Route{Operation: "Write", Method: "PUT", Path: "/write", Body: true, Serve: func(r *http.Request) (web.Answer, error) {
			var body struct {
				N int `json:"n"`
			}
			return done, web.ReadBody(r, &body)
		}},
		web.Route{Operation: "Read", Method: "GET", Path: "/read", Serve: func(*http.Request) (web.Answer, error) { return done, nil }},
	)
	body, client := io.Pipe()
	slow := make(chan *httptest.ResponseRecorder)
	go func() {
		r := httptest.NewRequest(http.MethodPut, "/write", body)
		r.Header.Set("Idempotency-Key", "k")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		slow <- w
	}()
	if _, err := client.Write([]byte(`{"n":`)); err != nil { // the server is reading
		t.Fatal(err)
	}
	if w := ask(s, "GET", "/read", ""); w.Body.String() != "done" {
		t.Errorf("beside a slow body: %d %s", w.Code, w.Body)
	}
	if _, err := client.Write([]byte("1}")); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if w := <-slow; w.Body.String() != "done" {
		t.Errorf("the slow body: %d %s", w.Code, w.Body)
	}
}

// An answer that cannot be made whole is a problem, and not half an answer.
func TestAnswersThatFail(t *testing.T) {
	t.Parallel()
	answers := map[string]web.Answer{
		"error": func(w http.ResponseWriter) error {
			w.Header().Set("Location", "/v1/things/1")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "half")
			return errors.New("no more")
		},
		"panic": func(http.ResponseWriter) error { panic("x") },
		"long": func(w http.ResponseWriter) error {
			for range 33 {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for what, answer := range answers {
		s := server(t, nil, web.Route{Operation: "Fail", Method: "GET", Path: "/fail", Serve: func(*http.Request) (web.Answer, error) { return answer, nil }})
		for range 2 { // its place is free again
			w := ask(s, "GET", "/fail", "")
			refuses(t, w, problem.Internal, "")
			if strings.Contains(w.Body.String(), "half") || w.Header().Get("Location") != "" {
				t.Errorf("%s: %v %s", what, w.Header(), w.Body)
			}
		}
	}
	s := server(t, nil, web.Route{Operation: "Make", Method: "GET", Path: "/make", Serve: func(*http.Request) (web.Answer, error) {
		return func(w http.ResponseWriter) error {
			w.Header().Set("Location", "/v1/things/1")
			w.WriteHeader(http.StatusCreated)
			_, err := io.WriteString(w, "whole")
			return err
		}, nil
	}})
	if w := ask(s, "GET", "/make", ""); w.Code != http.StatusCreated || w.Body.String() != "whole" || w.Header().Get("Location") == "" || w.Header().Get("Content-Length") != "5" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// thing is a body as the generator makes its type.
type thing struct {
	Name  string            `json:"name"`
	Maybe *string           `json:"maybe,omitempty"`
	Null  *string           `json:"null"`
	Part  part              `json:"part"`
	Parts []part            `json:"parts"`
	Named map[string]part   `json:"named"`
	Spare *[]part           `json:"spare,omitempty"`
	Texts map[string]string `json:"texts,omitempty"`
	At    time.Time         `json:"at"`
}

type part struct {
	ID ids.User `json:"id"`
	N  *int     `json:"n,omitempty"`
}

// TestMembersHaveToBeThere: what the document requires is there, however deep.
func TestMembersHaveToBeThere(t *testing.T) {
	t.Parallel()
	s := server(t, nil, web.Route{Operation: "Write", Method: "PUT", Path: "/write", Body: true, Serve: func(r *http.Request) (web.Answer, error) {
		return done, web.ReadBody(r, new(thing))
	}})
	const whole = `{"name":"","null":null,"part":{"id":"1"},"parts":[{"id":"1"},{"id":"2","n":null}],"named":{"a/b":{"id":"1"}},"at":"2026-11-28T10:00:00Z"}`
	f := func(edit, by, pointer string) {
		t.Helper()
		body := strings.Replace(whole, edit, by, 1)
		w := ask(s, "PUT", "/write", body, "Idempotency-Key", "k", "Content-Type", "application/json")
		switch {
		case pointer == "" && w.Body.String() != "done":
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		case pointer != "":
			refuses(t, w, problem.Malformed, fmt.Sprintf("%q", pointer))
		}
	}
	f("", "", "")
	f(`{"name"`, `{"maybe":null,"spare":null,"texts":null,"name"`, "")
	f(`{"name"`, `{"maybe":"","spare":[{"id":"1"}],"texts":{"a":""},"name"`, "")
	f(`"name":"",`, "", "/name")
	f(`"name":""`, `"name":null`, "/name")
	f(`"null":null,`, "", "/null")
	f(`{"id":"1"}`, `{}`, "/part/id")
	f(`{"id":"1"}`, `{"n":1}`, "/part/id")
	f(`{"id":"1"}`, `null`, "/part")
	f(`{"id":"2",`, `{`, "/parts/1/id")
	f(`[{"id":"1"},`, `[null,`, "/parts/0")
	f(`{"a/b":{"id":"1"}}`, `{"a/b":{"id":null}}`, "/named/a~1b/id")
	f(`{"a/b":{"id":"1"}}`, `{"a/b":null}`, "/named/a~1b")
	f(`{"name"`, `{"spare":[{}],"name"`, "/spare/0/id")
	f(`{"name"`, `{"texts":{"a":null},"name"`, "/texts/a")
	f(`"at":"2026-11-28T10:00:00Z"`, `"at":null`, "/at")
	f(`{"id":"1"}`, `{"id":"1","id":"2"}`, "/part/id")
	f(`{"id":"1"}`, `{"id":"1","x":2}`, "/part/x")
}

// TestOptionalParameters reads what may be absent, as the generator makes it, and refuses what can be read in two ways.
func TestOptionalParameters(t *testing.T) {
	t.Parallel()
	type state string
	s := server(t, nil, web.Route{
		Operation: "List", Method: "GET", Path: "/list", Parameters: []string{"cursor", "limit", "state", "open", "user", "since", "word"},
		Serve: func(r *http.Request) (web.Answer, error) {
			var p struct {
				cursor, tag *string
				limit       *int
				state       *state
				open        *bool
				user        *ids.User
				since       *time.Time
				word        string
			}
			err := errors.Join(
				web.ReadQuery(r, "cursor", &p.cursor), web.ReadQuery(r, "limit", &p.limit), web.ReadQuery(r, "state", &p.state), web.ReadQuery(r, "open", &p.open),
				web.ReadQuery(r, "user", &p.user), web.ReadQuery(r, "since", &p.since), web.NeedQuery(r, "word", &p.word), web.ReadHeader(r, "If-Match", &p.tag))
			text := []string{p.word}
			if p.cursor != nil {
				text = append(text, "cursor="+*p.cursor)
			}
			if p.limit != nil {
				text = append(text, "limit="+fmt.Sprint(*p.limit))
			}
			if p.state != nil {
				text = append(text, "state="+string(*p.state))
			}
			if p.open != nil {
				text = append(text, "open="+fmt.Sprint(*p.open))
			}
			if p.user != nil {
				text = append(text, "user="+fmt.Sprint(int64(*p.user)))
			}
			if p.since != nil {
				text = append(text, "since="+p.since.Format(time.RFC3339))
			}
			if p.tag != nil {
				text = append(text, "tag="+*p.tag)
			}
			return says(strings.Join(text, " ")), err
		},
	})
	for query, want := range map[string]string{
		"word=w":   "w",
		"word=":    "",
		"limit=20": "the query parameter word is missing",
		"word=w&limit=20&cursor=a%2Fb&state=on&open=true&user=7&since=2026-11-28T10:00:00Z": "w cursor=a/b limit=20 state=on open=true user=7 since=2026-11-28T10:00:00Z",
		"word=w&limit=020":                  "want an integer",
		"word=w&limit=+2":                   "want an integer",
		"word=w&limit=":                     "want an integer",
		"word=w&limit=99999999999999999999": "want an integer",
		"word=w&open=1":                     "want true or false",
		"word=w&user=07":                    "malformed",
		"word=w&since=now":                  "malformed",
		"word=w&cursor=%zz":                 "the query cannot be decoded",
		"word=w&cursor=%":                   "the query cannot be decoded",
		"word=w;cursor=a":                   "the query cannot be decoded",
		"word=w&cursor=%ff":                 "want UTF-8",
		"w%6frd=w":                          "unknown query parameter",
	} {
		if w := ask(s, "GET", "/list?"+query, ""); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", query, w.Code, w.Body, want)
		}
	}
	if w := ask(s, "GET", "/list?word=w", "", "If-Match", `"1"`); w.Body.String() != `w tag="1"` {
		t.Errorf("with a header: %d %s", w.Code, w.Body)
	}
	refuses(t, ask(s, "GET", "/list?word=w", "", "If-Match", `"1"`, "If-Match", `"2"`), problem.Malformed, "came twice")
}
