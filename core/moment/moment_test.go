package moment_test

import (
	"strings"
	"testing"
	"time"

	"sluice/core/moment"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-31T18:00:00Z":            "2026-01-31T18:00:00Z",
		"2026-01-31t18:00:00z":            "2026-01-31T18:00:00Z",
		"2026-01-31T18:00:00+00:00":       "2026-01-31T18:00:00Z",
		"2026-01-31T18:00:00-00:00":       "2026-01-31T18:00:00Z",
		"2026-01-31T18:00:00+08:00":       "2026-01-31T10:00:00Z",
		"2026-01-31T18:00:00-23:59":       "2026-02-01T17:59:00Z",
		"2026-01-31T18:00:00.1Z":          "2026-01-31T18:00:00.1Z",
		"2026-01-31T18:00:00.1239Z":       "2026-01-31T18:00:00.123Z", // not .124: it has not come yet
		"2026-01-31T18:00:00.123456789Z":  "2026-01-31T18:00:00.123Z",
		"2026-01-31T18:00:00.0000000001z": "2026-01-31T18:00:00Z",
		"2028-02-29T00:00:00Z":            "2028-02-29T00:00:00Z",
		"1970-01-01T00:00:00Z":            "1970-01-01T00:00:00Z",
		"1969-12-31T23:00:00-01:00":       "1970-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999Z":        "9999-12-31T23:59:59.999Z",
	} {
		if got, err := moment.Parse(text); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %v (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "now", "2026-01-31", "2026-01-31T18:00Z", "2026-01-31 18:00:00Z", "2026-01-31T18:00:00",
		"2026-01-31T0:00:00Z", "2026-01-31T8:00:00Z", "2026-1-31T18:00:00Z", "26-01-31T18:00:00Z", "+2026-01-31T18:00:00Z", "12026-01-31T18:00:00Z",
		"2026-01-31T18:00:00,5Z", "2026-01-31T18:00:00.Z", "2026-01-31T18:00:00.5", "2026-01-31T18:00:00.-5Z",
		"2026-01-31T18:00:00+24:00", "2026-01-31T18:00:00+23:60", "2026-01-31T18:00:00+99:99", "2026-01-31T18:00:00+8:00", "2026-01-31T18:00:00+0800",
		"2026-01-31T18:00:00+08", "2026-01-31T18:00:00\u221208:00", "2026-01-31T18:00:00 Z", "2026-01-31T18:00:00Z ", " 2026-01-31T18:00:00Z", "2026-01-31T18:00:00Z\n",
		"2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z",
		"2026-01-31T24:00:00Z", "2026-01-31T18:60:00Z", "2026-01-31T18:00:61Z",
		"2016-12-31T23:59:60Z", "2026-06-30T23:59:60Z", // leap seconds: one that was, and one that was not
		"1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z",
		"\u0662026-01-31T18:00:00Z", "2026-01-31T18:00:00\u017f", // other digits, and what folds to a letter
		"2026-01-31T18:00:00." + strings.Repeat("0", 64) + "Z",
	} {
		if got, err := moment.Parse(text); err == nil || !strings.HasPrefix(err.Error(), "want a time") {
			t.Errorf("%q is %v (%v), want it refused", text, got, err)
		}
	}
}

// FuzzParse holds what is read to what can be written: the same moment, in whole milliseconds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"2026-01-31T18:00:00Z", "2026-01-31t18:00:00.123456z", "9999-12-31T23:59:59.999-23:59", "2026-02-29T0:00:00,5+24:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := moment.Parse(text)
		if err != nil {
			return
		}
		if lax, err := time.Parse(time.RFC3339, strings.ToUpper(text)); err != nil || !lax.Truncate(time.Millisecond).Equal(at) {
			t.Errorf("%q is %v, for Go %v (%v)", text, at, lax, err)
		}
		if again, err := moment.Parse(at.Format(time.RFC3339Nano)); err != nil || again != at {
			t.Errorf("%q is %v, which is read as %v (%v)", text, at, again, err)
		}
	})
}
