package notify

import (
	"context"
	htmltemplate "html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const inboxMax = 200 // letters

// Inbox is a channel for developers: it keeps the last letters in memory and shows them to everybody who asks.
type Inbox struct {
	mu   sync.Mutex
	kept []Kept // the oldest first
}

// Kept is a letter in an inbox.
type Kept struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Channel  Channel   `json:"channel"`
	Template string    `json:"template"`
	Locale   string    `json:"locale"`
	To       string    `json:"to"`
	Subject  string    `json:"subject,omitempty"`
	Text     string    `json:"text"`
}

// Send implements Sender. A letter that is there already is not kept twice.
func (i *Inbox) Send(_ context.Context, l Letter) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if slices.ContainsFunc(i.kept, func(k Kept) bool { return k.ID == l.ID }) {
		return nil
	}
	i.kept = append(i.kept, Kept{l.ID, time.Now().UTC().Truncate(time.Millisecond), l.Channel, l.Template, l.Locale, l.To, l.Subject, l.Text})
	i.kept = slices.Delete(i.kept, 0, max(0, len(i.kept)-inboxMax))
	return nil
}

// ServeHTTP shows the letters, the newest first: to a browser as a page, to others as JSON. The parameter to is a recipient.
func (i *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	i.mu.Lock()
	found := []Kept{}
	for _, k := range slices.Backward(i.kept) {
		if to == "" || k.To == to {
			found = append(found, k)
		}
	}
	i.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		_ = inboxPage.Execute(w, found) // if the client has gone, there is nobody to tell
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, found, jsontext.WithIndent("  "))
	_, _ = w.Write([]byte("\n"))
}

var inboxPage = htmltemplate.Must(htmltemplate.New("inbox").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Messages of this process</title></head>
<body>
<h1>Messages of this process</h1>
{{range .}}<hr>
<p>{{.At.Format "15:04:05"}} {{.Template}} by {{.Channel}} to <strong>{{.To}}</strong> ({{.Locale}})</p>
{{with .Subject}}<p><strong>{{.}}</strong></p>
{{end}}<pre>{{.Text}}</pre>
{{else}}<p>None yet.</p>
{{end}}</body>
</html>
`))
