package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// hostile are characters that change what a reader sees.
var hostile = []rune{
	0, '\a', '\t', '\n', '\r', 0x1B, 0x7F, // C0 and DEL
	0x80, 0x85, 0x9B, 0x9F, // C1: 9B begins a sequence as ESC [ does
	0xAD, 0x61C, 0x200E, 0x200F, 0x202A, 0x202E, 0x2066, 0x2069, // bidirectional, soft hyphen
	0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, // zero width
	0x2028, 0x2029, // separators
	0xFFF9, 0xE0001, 0xE0041, 0xE007F, // annotations, tags
	0x34F, 0x115F, 0x3164, 0xFFA0, 0x2065, 0xE0FFF, // fillers, and what is kept for more of them
}

const plain = "größer 10 % (2 für 1) 葛 東京　店 नमस्ते שלום مرحبا 🎁 ❤️ e\u0301 \ufffd \u00a0"

func TestPlainTextPasses(t *testing.T) {
	t.Parallel()
	if err := Check(plain, 200); err != nil {
		t.Error(err)
	}
	if got := Escape(plain); got != plain {
		t.Errorf("escaped as %q", got)
	}
}

func TestHostileTextIsRefusedAndShown(t *testing.T) {
	t.Parallel()
	for _, r := range hostile {
		s := "a" + string(r) + "b"
		if err := Check(s, 200); err == nil {
			t.Errorf("%U passes", r)
		}
		shown := Escape(s)
		if err := Check(shown, 200); err != nil {
			t.Errorf("%U shown as %q: %v", r, shown, err)
		}
		var back string
		if err := json.Unmarshal([]byte(`"`+shown+`"`), &back); err != nil || back != s {
			t.Errorf("%U shown as %s, which means %q, %v", r, shown, back, err)
		}
	}
	for _, s := range []string{"\xff", "a\xc0\xafb", "\xed\xa0\x80", "\xf4\x90\x80\x80", "", strings.Repeat("ä", 101)} {
		if err := Check(s, 200); err == nil {
			t.Errorf("%q passes", s)
		}
	}
	if got, want := Escape("a\xffb\xc2"), `a\xffb\xc2`; got != want {
		t.Errorf("Escape = %s, want %s", got, want)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add(plain)
	f.Add("\x9b\u202e\xff\U000E0041")
	f.Fuzz(func(t *testing.T, s string) {
		shown := Escape(s)
		if shown != "" {
			if err := Check(shown, len(shown)); err != nil {
				t.Fatalf("%q shown as %q: %v", s, shown, err)
			}
		}
		if s != "" && Check(s, len(s)) == nil && shown != s {
			t.Fatalf("%q is plain, and shown as %q", s, shown)
		}
		document, err := json.Marshal([]string{s})
		if err != nil {
			t.Fatal(err)
		}
		escaped := EscapeJSON(document)
		var before, after []string
		if json.Unmarshal(document, &before) != nil || json.Unmarshal(escaped, &after) != nil || before[0] != after[0] {
			t.Fatalf("%s escaped as %s", document, escaped)
		}
		if err := Check(string(escaped), len(escaped)); err != nil {
			t.Fatalf("%s escaped as %q: %v", document, escaped, err)
		}
	})
}

// An error names a file once, and its cause can still be asked for.
func TestOfFile(t *testing.T) {
	t.Parallel()
	_, err := os.Open("nowhere")
	err = OfFile(fmt.Errorf("try: %w", err))
	if err.Error() != "nowhere: no such file or directory" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	other := errors.New("other")
	if OfFile(other) != other { //nolint:errorlint // the same one
		t.Error("another error is not left as it is")
	}
}
