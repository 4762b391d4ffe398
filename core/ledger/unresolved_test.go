package ledger_test

import (
	"maps"
	"slices"
	"testing"

	"sluice/core/ledger"
)

// TestUnresolvedByReason counts letters. One is resolved, and one has a reason of a newer program.
func TestUnresolvedByReason(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	for n, reason := range []string{ledger.ReasonFork, ledger.ReasonFork, ledger.ReasonVersion, "of tomorrow", ledger.ReasonBroken} {
		id := b.letter(n, reason, nil, []byte{})
		if reason == ledger.ReasonBroken {
			b.exec("UPDATE dead_letters SET resolved_at = NOW() WHERE letter_id = ?", id[:])
		}
	}
	want := map[string]int64{ledger.ReasonFork: 2, ledger.ReasonVersion: 1, "of tomorrow": 1}
	if got, err := b.Unresolved(t.Context()); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

// TestReplaysAreAskedInTurn asks for letters, and takes them in the order in which they were asked for.
func TestReplaysAreAskedInTurn(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	var ids []ledger.LetterID
	for n := range 4 {
		ids = append(ids, b.letter(n, ledger.ReasonRefused, nil, []byte{}))
	}
	for i, n := range []int{2, 0, 3} {
		b.exec("UPDATE dead_letters SET replay_asked_at = FROM_UNIXTIME(?) WHERE letter_id = ?", 1000+i, ids[n][:])
	}
	for most, want := range map[int][]ledger.LetterID{2: {ids[2], ids[0]}, 9: {ids[2], ids[0], ids[3]}} {
		if got, err := b.ReplaysAsked(t.Context(), most); err != nil || !slices.Equal(got, want) {
			t.Errorf("at most %d: %v, %v, want %v", most, got, err, want)
		}
	}
}
