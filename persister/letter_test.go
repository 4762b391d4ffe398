package persister

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"

	"sluice/core/outbox"
)

// poison makes dead letters that are different ones from a number on.
func poison(from, n int) []letter {
	letters := make([]letter, n)
	for i := range letters {
		letters[i] = letter{reason: reasonMalformed, from: &origin{offset: int64(from + i)}, data: []byte(strconv.Itoa(from + i))}
	}
	return letters
}

// TestManyLettersAreFewStatements writes letters. Some are known, and some come twice.
func TestManyLettersAreFewStatements(t *testing.T) {
	t.Parallel()
	db := database(t)
	db.SetMaxOpenConns(1) // whose statements are counted
	asked := func() (n int) {
		t.Helper()
		var name string
		if err := db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	w := writer{db: db}
	if done, err := w.write(t.Context(), nil, poison(100, 50)); err != nil || len(done.letters) != 50 {
		t.Fatalf("%d new letters, %v", len(done.letters), err)
	}
	letters := poison(0, 3000)
	letters = append(letters, letters[:10]...)
	letters[0].data = make([]byte, 3*bytesPerStatement)
	before := asked()
	done, err := w.write(t.Context(), nil, letters)
	if err != nil || len(done.letters) != 2951 { // without 100 to 149; the first has come with other bytes
		t.Errorf("%d new letters, %v", len(done.letters), err)
	}
	if n := asked() - before; n > 30 {
		t.Errorf("%d statements", n)
	}
	if got := lines(t, db, "SELECT COUNT(*) FROM dead_letters")[0]; got != "3001" {
		t.Errorf("%s letters are there", got)
	}
}

// TestPoisonEndsABatch lets a worker find much more poison than one transaction should take.
func TestPoisonEndsABatch(t *testing.T) {
	t.Parallel()
	m := newTestMeters()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const chunks, each = 20, 30
	c := &consumer{
		cfg: Config{BatchEvents: 100}, meters: m,
		newWorker: func() *applier { return newApplier(database(t), m, slog.New(slog.DiscardHandler)) },
		applied: func(b *batch) {
			if len(b.letters) >= 100+each {
				t.Errorf("%d letters at once", len(b.letters))
			}
			if b.next[0] == chunks*each {
				cancel()
			}
		},
	}
	input := make(chan chunk, chunks)
	for i := range chunks {
		got := chunk{next: int64((i + 1) * each)}
		for n := range each {
			got.messages = append(got.messages, outbox.Message{Value: fmt.Append(nil, i, n)})
		}
		input <- got
	}
	c.work(ctx, input, newProgress(map[int]int64{0: 0}))
	if got := m.letters[reasonMalformed].Get(); got != chunks*each {
		t.Errorf("%d letters", got)
	}
}
