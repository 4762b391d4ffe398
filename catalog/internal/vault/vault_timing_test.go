package vault

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSeal seals an address for a user whose key is open.
func BenchmarkSeal(b *testing.B) {
	v, value := opened(b), make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Seal(b.Context(), 1, word, value); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens it.
func BenchmarkOpen(b *testing.B) {
	v := opened(b)
	sealed, err := v.Seal(b.Context(), 1, word, make([]byte, 300))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Open(b.Context(), 1, word, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// opened is a vault that has the key of user 1 open.
func opened(b *testing.B) *Vault {
	b.Helper()
	v := New(Config{Owner: "thing", Kind: Users, Ring: new(Ring)})
	v.opened = newCache(keysMax, time.Hour)
	key, err := newKey(make([]byte, dataKeyBytes))
	if err != nil {
		b.Fatal(err)
	}
	v.opened.put(1, key)
	return v
}

// BenchmarkUnwrap opens the key of a user, as once in its life is done in each process.
func BenchmarkUnwrap(b *testing.B) {
	w := newWorld(b)
	sealed := w.seal(w.Vault, 1, "a word")
	p := w.place(1)
	var k Key
	if err := p.In(p.Writer()).QueryRowContext(b.Context(), w.statements.read, 1).Scan(&k.By, &k.Wrapped); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.opened.forget(1)
		box, err := w.Adopt(1, k)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := box.Open(word, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	k, err := generate()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		_ = k.index("account", "email", fmt.Sprint(n))
	}
}

// BenchmarkFirstSeal makes the keys of users.
func BenchmarkFirstSeal(b *testing.B) {
	w := newWorld(b)
	user := int64(0)
	for b.Loop() {
		user++
		w.seal(w.Vault, user, "a word")
	}
}
