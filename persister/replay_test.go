package persister

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// replays is a replayer with the book of letters that it works on.
type replays struct {
	*replayer
	*ledger.Reader
	t       *testing.T
	applied int
}

func newReplays(t *testing.T) *replays {
	t.Helper()
	db := database(t)
	r := &replays{t: t, Reader: ledger.New(db, nil)}
	r.replayer = &replayer{
		writer: writer{db: db}, applied: func(*batch) { r.applied++ }, meters: newTestMeters(), log: slog.New(slog.DiscardHandler),
	}
	return r
}

// again asks for a letter to be applied again, and lets that be done, twice.
func (r *replays) again(id ledger.LetterID) ledger.Letter {
	r.t.Helper()
	if _, _, err := r.AskReplay(r.t.Context(), id, ledger.Decision{By: "me", Reason: "mended"}); err != nil {
		r.t.Fatal(err)
	}
	for range 2 {
		if _, err := r.round(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
	l, err := r.Letter(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	if l.ReplayAskedAt != 0 {
		r.t.Errorf("still asked for: %+v", l)
	}
	return l.Letter
}

func (r *replays) keep(letters ...letter) {
	r.t.Helper()
	if _, err := r.writer.write(r.t.Context(), nil, letters); err != nil {
		r.t.Fatal(err)
	}
}

// TestReplayAppliesWhatIsMended lets the database refuse an event until somebody mends the cause.
func TestReplayAppliesWhatIsMended(t *testing.T) {
	t.Parallel()
	r := newReplays(t)
	h := newHistory(4, 1)
	rows := inARow(h, h.cells[0], 5)
	if _, err := r.writer.write(t.Context(), rows[:4], nil); err != nil {
		t.Fatal(err)
	}
	refused := rowLetter(reasonRefused, "a rule of the shop's own", rows[4])
	r.keep(refused)
	exec := func(statement string) {
		t.Helper()
		if _, err := r.writer.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("ALTER TABLE ledger ADD CONSTRAINT shop CHECK (seq < 5)")
	if l := r.again(refused.id()); l.ResolvedAt != 0 || !strings.Contains(l.ReplayRefusal, "shop") || !l.Evidence || r.applied != 0 {
		t.Errorf("while it is refused: %+v", l)
	}
	tablesOf(rows[:4]).holds(t, r.writer.db)
	exec("ALTER TABLE ledger DROP CONSTRAINT shop")
	l := r.again(refused.id())
	if l.ResolvedBy != "me" || !strings.Contains(l.Resolution, "1 of 1 events were new") || !strings.Contains(l.Resolution, "mended") ||
		l.ReplayRefusal != "" || l.Evidence || r.applied != 1 {
		t.Errorf("mended: %+v, applied %d times", l, r.applied)
	}
	tablesOf(rows).holds(t, r.writer.db)
	if l := r.again(refused.id()); l.ResolvedBy != "me" || r.applied != 1 {
		t.Errorf("asked for again: %+v, applied %d times", l, r.applied)
	}
}

// TestReplayReadsWhatItCanNow has messages that an older program could not read: whole ones, ones with events that the
// ledger has already, and ones with events whose positions others have taken.
func TestReplayReadsWhatItCanNow(t *testing.T) {
	t.Parallel()
	r := newReplays(t)
	h := newHistory(5, 1)
	rows := inARow(h, h.cells[0], 6)
	rival := *rows[1]
	rival.User++
	message := event.Batch{Partition: rows[0].partition, TimeMS: rows[0].timeMS}
	for _, row := range rows {
		message.Events = append(message.Events, row.Event)
	}
	if _, err := r.writer.write(t.Context(), []*row{rows[0], &rival}, nil); err != nil {
		t.Fatal(err)
	}
	unread := letter{reason: reasonVersion, from: &origin{partition: 3, offset: 9, entry: "7-1"}, data: event.Append(nil, message)}
	r.keep(unread)
	l := r.again(unread.id())
	if !strings.Contains(l.Resolution, "4 of 6 events were new, 1 became dead letters of their own") {
		t.Errorf("%+v", l)
	}
	tablesOf(append([]*row{rows[0], &rival}, rows[2:]...)).holds(t, r.writer.db)
	if n := r.meters.letters[reasonFork].Get(); n != 1 {
		t.Errorf("%d forks are counted, want 1", n)
	}
	if got := lines(t, r.writer.db, "SELECT reason, seq, kafka_partition, kafka_offset FROM dead_letters WHERE resolved_at IS NULL"); len(got) != 1 || got[0] != "fork 2 3 9" {
		t.Errorf("dead letters: %v", got)
	}
}

// TestReplayOfWhatIsFromNowhere: what a letter that came from no message leaves behind names none either.
func TestReplayOfWhatIsFromNowhere(t *testing.T) {
	t.Parallel()
	r := newReplays(t)
	h := newHistory(7, 1)
	rows := inARow(h, h.cells[0], 2)
	rival := *rows[1]
	rival.User++
	if _, err := r.writer.write(t.Context(), []*row{rows[0], &rival}, nil); err != nil {
		t.Fatal(err)
	}
	refused := rowLetter(reasonRefused, "a rule of the shop's own", rows[1])
	refused.from = nil
	r.keep(refused)
	if l := r.again(refused.id()); l.ResolvedAt == 0 {
		t.Errorf("%+v", l)
	}
	if got := lines(t, r.writer.db, "SELECT reason, COUNT(kafka_partition) FROM dead_letters WHERE resolved_at IS NULL GROUP BY reason"); len(got) != 1 || got[0] != "fork 0" {
		t.Errorf("dead letters, and those that name a message: %v", got)
	}
}

// TestReplayLeavesWhatIsResolved has a letter that was resolved by somebody who left the request for its replay.
func TestReplayLeavesWhatIsResolved(t *testing.T) {
	t.Parallel()
	r := newReplays(t)
	h := newHistory(9, 1)
	dead := rowLetter(reasonRefused, "", inARow(h, h.cells[0], 1)[0])
	r.keep(dead)
	if err := r.replay(t.Context(), dead.id()); err != nil || r.applied != 0 { // as if another persister had just refused it
		t.Errorf("applied %d letters that nobody asks for, error %v", r.applied, err)
	}
	if _, err := r.writer.db.ExecContext(t.Context(), "UPDATE dead_letters SET replay_asked_at = NOW(3), resolved_at = NOW(3), resolution = 'by hand'"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, r.writer.db, "SELECT resolution, (SELECT COUNT(*) FROM ledger) FROM dead_letters"); len(got) != 1 || got[0] != "by hand 0" || r.applied != 0 {
		t.Errorf("resolution, and events applied: %v", got)
	}
}

// TestReplayLeavesWhatIsAsItWas has letters that no program can apply.
func TestReplayLeavesWhatIsAsItWas(t *testing.T) {
	t.Parallel()
	r := newReplays(t)
	h := newHistory(6, 1)
	bad := inARow(h, h.cells[0], 1)[0]
	bad.Avail, bad.Held = stock.UnitsMax, 1
	letters := []letter{
		{reason: reasonMalformed, data: []byte{1, 2}},
		{reason: reasonVersion, data: []byte{99}, from: &origin{entry: "1-1"}},
		rowLetter(reasonInconsistent, "no script", bad),
	}
	r.keep(letters...)
	for _, dead := range letters {
		if l := r.again(dead.id()); l.ResolvedAt != 0 || l.ReplayRefusal == "" || l.Resolution != "" {
			t.Errorf("%+v", l)
		}
	}
	// A request that was written into the table past ledger.Reader does not apply a fork either.
	fork := forkLetter(inARow(h, h.cells[0], 1)[0])
	r.keep(fork)
	if _, err := r.writer.db.ExecContext(t.Context(), "UPDATE dead_letters SET replay_asked_at = NOW(3) WHERE reason = 'fork'"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, r.writer.db, "SELECT COUNT(*) FROM ledger"); got[0] != "0" || r.applied != 0 {
		t.Errorf("%s events applied", got[0])
	}
	if l, err := r.Letter(t.Context(), fork.id()); err != nil || l.ReplayRefusal == "" || l.ReplayAskedAt != 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestReplaysThatFailGiveTheirTurnUp asks for a letter behind a whole round of others whose events fail.
func TestReplaysThatFailGiveTheirTurnUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signal string
		lasts  bool // the letters are asked for no more
	}{
		"lock timeout": {"SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205", false},
		"other":        {"SQLSTATE 'HY000' SET MYSQL_ERRNO = 9999", false},
		"too large":    {"SQLSTATE '08S01' SET MYSQL_ERRNO = 1153", true},
		"setup":        {"SQLSTATE '42S22' SET MYSQL_ERRNO = 1054", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplays(t)
			exec := func(statement string, args ...any) {
				t.Helper()
				if _, err := r.writer.db.ExecContext(t.Context(), statement, args...); err != nil {
					t.Fatal(err)
				}
			}
			exec("CREATE TRIGGER unlucky BEFORE INSERT ON ledger FOR EACH ROW BEGIN " +
				"IF NEW.seq <= " + strconv.Itoa(replaysAtMax) + " THEN SIGNAL " + c.signal + ", MESSAGE_TEXT = 'out of luck'; END IF; END")
			h := newHistory(8, 1)
			rows := inARow(h, h.cells[0], replaysAtMax+1)
			for i, row := range rows {
				letter := rowLetter(reasonRefused, "", row)
				r.keep(letter)
				id := letter.id()
				exec("UPDATE dead_letters SET replay_asked_at = NOW(3) - INTERVAL ? SECOND, replay_asked_by = 'me' WHERE letter_id = ?", 3600-i, id[:])
			}
			for range 2 {
				if _, err := r.round(t.Context()); (err == nil) != c.lasts {
					t.Errorf("a round: %v", err)
				}
			}
			if r.applied != 1 {
				t.Errorf("%d letters applied, want the one that can be", r.applied)
			}
			const told = "SELECT COUNT(*), COUNT(replay_asked_at) FROM dead_letters WHERE replay_refusal LIKE '%out of luck%' AND resolved_at IS NULL"
			want := map[bool]string{false: "20 20", true: "20 0"}[c.lasts]
			if got := lines(t, r.writer.db, told)[0]; got != want {
				t.Errorf("letters that tell why, and are asked for: %s, want %s", got, want)
			}
			exec("DROP TRIGGER unlucky")
			exec("UPDATE dead_letters SET replay_asked_at = NOW(3) WHERE resolved_at IS NULL")
			if _, err := r.round(t.Context()); err != nil {
				t.Fatal(err)
			}
			tablesOf(rows).holds(t, r.writer.db)
			if got := lines(t, r.writer.db, "SELECT COUNT(*) FROM dead_letters WHERE replay_refusal IS NOT NULL OR resolved_at IS NULL")[0]; got != "0" {
				t.Errorf("%s letters tell of what has passed", got)
			}
		})
	}
}

// TestWhoAsksOneAfterTheOther gets what he asks for soon after he has asked. If nobody asks, rounds are seldom.
func TestWhoAsksOneAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const steps, look = 20, 200 * time.Millisecond
		var asked, done, rounds atomic.Int64
		start := time.Now()
		go func() {
			for asked.Add(1); asked.Load() < steps; {
				if time.Sleep(look); done.Load() == asked.Load() {
					asked.Add(1)
				}
			}
		}()
		round := func(context.Context) (int, error) {
			rounds.Add(1)
			n := asked.Load() - done.Load()
			done.Add(n)
			return int(n), nil
		}
		for done.Load() < steps {
			if err := whileAsked(t.Context(), round); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > steps*(look+replaysSoon)+replaysEvery {
			t.Errorf("%d steps took %v", steps, took)
		}
		rounds.Store(0)
		if err := whileAsked(t.Context(), round); err != nil || rounds.Load() != 1 {
			t.Errorf("%d rounds though nobody asks for anything, %v", rounds.Load(), err)
		}
	})
}
