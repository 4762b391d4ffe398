package audit

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// FuzzVerifyExport: whatever a file has, reading it ends, and what is no whole export is none.
func FuzzVerifyExport(f *testing.F) {
	rows, _ := chains()
	line, err := json.Marshal(rows[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(line) + "\n" + `{"manifest":{"form":1,"made_at":"2026-11-28T10:00:00Z","entries":1,"sha256":"","heads":[]}}` + "\n")
	f.Add(`{"manifest":{"form":1}}` + "\n")
	f.Add("{}\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := NewChecker()
		done, err := VerifyExport(t.Context(), strings.NewReader(text), nil, c, func() {})
		entries, _, _ := c.Counts()
		if err == nil && (done.Entries != entries || int64(strings.Count(text, "\n")) != entries+1) {
			t.Errorf("%d entries of %d are whole", entries, done.Entries)
		}
	})
}

func FuzzChain(f *testing.F) {
	for _, name := range []string{"users-1", "checkouts-2024-01-1", "products-1023", "values-"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		var c Chain
		if err := c.UnmarshalText([]byte(name)); err == nil && (c.String() != name || ChainOf(c.Shard()) != c) {
			t.Errorf("%q is read as %d, which is %q", name, uint32(c), c)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("1764324000123.17.5")
	f.Add("1.2")
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := parseCursor(text); err == nil && e.cursor() != text {
			t.Errorf("%q is read as %q", text, e.cursor())
		}
	})
}
