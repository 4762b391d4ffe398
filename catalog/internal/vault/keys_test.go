package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.json")
	first, err := Generate(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Generate(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil { // the group of a service
		t.Fatal(err)
	}
	second, from, err := Rotate(path, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("rights of the new file: %v, %v", info.Mode(), err)
	}
	_, k, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]uint32{{}: first, from.Add(-time.Nanosecond): first, from: second, from.Add(time.Hour): second} {
		if id, by := k.primary(at); id != want || by == nil {
			t.Errorf("at %v key %d wraps, want %d", at, id, want)
		}
	}
	_, _, err = Rotate(path, time.Hour)
	if err == nil || !strings.Contains(err.Error(), "has not begun to wrap") {
		t.Errorf("two rotations at once: %v", err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused change left a file: %v", err)
	}
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = Rotate(path, time.Hour); err == nil || !strings.Contains(err.Error(), "another change is under way") {
		t.Errorf("beside another change: %v", err)
	}
	rotated, third, err := k.rotated(from, from.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := rotated.primary(from); id != second || len(rotated.ids()) != 3 {
		t.Errorf("after the second rotation key %d wraps, of %d", id, len(rotated.ids()))
	}
	if id, _ := rotated.primary(from.Add(time.Hour)); id != third {
		t.Errorf("key %d wraps", id)
	}
	if k.index("o", "n", "v") != rotated.index("o", "n", "v") {
		t.Error("a rotation changes indexes")
	}
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := filepath.Join(dir, "good.json")
	if _, err := Generate(good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.NewReplacer(`"wrapping"`, `"indexing"`, `"indexing"`, `"wrapping"`).Replace(string(text))
	for i, bad := range []string{
		"", "{}", "null", "[]", string(text[:len(text)/2]), swapped, strings.Repeat(" ", fileBytesMax+1),
		strings.Replace(string(text), "{", `{"surprise":1,`, 1), string(text) + string(text),
		strings.Replace(string(text), `"wrapping"`, `"next":{"key_id":7,"from":"2026-01-01T00:00:00Z"},"wrapping"`, 1),
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadRing(path, discard)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%.60q: %v", bad, err)
		}
		secretsIn(t, good, fmt.Sprint(err))
	}
	if _, err := ReadRing(filepath.Join(dir, "none"), discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// A ring takes a changed file, and keeps its keys when the file is spoilt, lost, or has another indexing key.
func TestRingFollowsItsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.json")
	first, err := Generate(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ReadRing(path, discard)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r.now = func() time.Time { now = now.Add(lookEvery); return now }
	second, _, err := Rotate(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	wraps := func(when string, want uint32) {
		t.Helper()
		if id, _ := r.primary(); id != want {
			t.Errorf("%s key %d wraps, want %d (the first is %d)", when, id, want, first)
		}
	}
	wraps("after a rotation", second)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	wraps("with a spoilt file", second)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wraps("without a file", second)
	if _, err := Generate(path); err != nil {
		t.Fatal(err)
	}
	wraps("with another file", second)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	third, _, err := Rotate(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	wraps("with its file again", third)
}

// FuzzParse reads any file. One that is taken is written and read again with the same keys.
func FuzzParse(f *testing.F) {
	k, err := generate()
	if err != nil {
		f.Fatal(err)
	}
	text, err := k.encode()
	if err != nil {
		f.Fatal(err)
	}
	rotated, _, err := k.rotated(time.Now(), time.Now())
	if err != nil {
		f.Fatal(err)
	}
	more, err := rotated.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(more)
	f.Add([]byte(`{"wrapping":{"primaryKeyId":1,"key":[]},"indexing":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := parse(text)
		if err != nil {
			return
		}
		again, err := k.encode()
		if err != nil {
			t.Fatal(err)
		}
		same, err := parse(again)
		if err != nil {
			t.Fatal(err)
		}
		_, by := k.primary(time.Now())
		sealed, err := by.Encrypt([]byte("a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := same.first.Decrypt(sealed, nil); err != nil || !bytes.Equal(plain, []byte("a")) {
			t.Fatalf("%q, %v", plain, err)
		}
	})
}

// FuzzOpen opens anything that a row may have. Only what was sealed opens.
func FuzzOpen(f *testing.F) {
	v := New(Config{Owner: "thing", Kind: Users, Ring: new(Ring)})
	key, err := newKey(make([]byte, dataKeyBytes))
	if err != nil {
		f.Fatal(err)
	}
	v.opened.put(1, key)
	good, err := v.Seal(f.Context(), 1, word, []byte("a word"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		v.opened.put(1, key)
		value, err := v.Open(t.Context(), 1, word, sealed)
		if bytes.Equal(sealed, good) {
			if string(value) != "a word" || err != nil {
				t.Fatalf("%q, %v", value, err)
			}
			return
		}
		if !errors.Is(err, ErrSealed) || value != nil {
			t.Fatalf("%x opens as %q, %v", sealed, value, err)
		}
	})
}
