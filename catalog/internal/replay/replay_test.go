package replay_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/catalog/internal/replay"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/local/servicetest"
	"sluice/core/problem"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

// world is a database with replays and a table for effects.
type world struct {
	*testing.T
	*sql.DB
	replay.Replays
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 20, Timeout: 3 * time.Second}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	w := &world{t, pool, replay.Of("thing", "_1")}
	w.exec(strings.ReplaceAll(replay.Table("thing"), "__", "_1"))
	w.exec("CREATE TABLE effects (id BIGINT PRIMARY KEY AUTO_INCREMENT)")
	return w
}

func (w *world) exec(statement string, values ...any) {
	w.Helper()
	if _, err := w.ExecContext(w.Context(), statement, values...); err != nil {
		w.Fatal(statement, err)
	}
}

func (w *world) count(query string) (n int) {
	w.Helper()
	if err := w.QueryRowContext(w.Context(), query).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

func request(user int64, key, body string) replay.Request {
	return replay.Request{User: user, Route: "make_thing", Key: key, Fingerprint: replay.Fingerprint([]byte("/v1/things"), []byte(body))}
}

var made = replay.Answer{Status: 201, Header: http.Header{"Location": {"/v1/things/1"}}, Body: []byte(`{"ü":1}`)}

// write makes an effect, once per key.
func (w *world) write(of replay.Request, meanwhile func() error) (answer replay.Answer, replayed bool, err error) {
	err = db.Write(w.Context(), w.DB, "a thing", func(tx *sql.Tx) (err error) {
		answer, replayed, err = w.Do(w.Context(), tx, of, func() (replay.Answer, error) {
			if _, err := tx.ExecContext(w.Context(), "INSERT INTO effects () VALUES ()"); err != nil {
				return replay.Answer{}, err
			}
			if meanwhile != nil {
				return made, meanwhile()
			}
			return made, nil
		})
		return err
	})
	return answer, replayed, err
}

func code(err error) string {
	var p *problem.Problem
	if errors.As(err, &p) {
		return p.Kind.Code
	}
	return ""
}

func TestOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		answer, replayed, err := w.write(request(1, "k", "a"), nil)
		if diff := cmp.Diff(made, answer); err != nil || replayed != (i > 0) || diff != "" {
			t.Errorf("time %d: replayed %v, %v, answer (-want +got):\n%s", i, replayed, err, diff)
		}
	}
	if _, _, err := w.write(request(1, "k", "b"), nil); code(err) != "mismatch" {
		t.Errorf("another request with the key: %v", err)
	}
	other := request(1, "k", "a")
	other.Route = "make_other"
	for what, of := range map[string]replay.Request{"key in another case": request(1, "K", "a"), "user": request(2, "k", "a"), "route": other} {
		if _, replayed, err := w.write(of, nil); replayed || err != nil {
			t.Errorf("another %s: replayed %v, %v", what, replayed, err)
		}
	}
	if n := w.count("SELECT COUNT(*) FROM effects"); n != 4 {
		t.Errorf("%d effects, want 4", n)
	}
	if n := w.count("SELECT COUNT(*) FROM thing_replays_1 WHERE idempotency_key IN ('k', 'K')"); n != 0 {
		t.Errorf("%d keys are kept as they came", n)
	}
	for _, wrong := range []replay.Request{request(0, "k", "a"), request(1, "", "a"), request(1, "ü", "a"), {User: 1, Key: "k"}} {
		if _, _, err := w.write(wrong, nil); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
}

// A refusal changed nothing: the same request may succeed later.
func TestRefusalsAreNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refusal := errors.New("not today")
	if _, _, err := w.write(request(1, "k", "a"), func() error { return refusal }); !errors.Is(err, refusal) {
		t.Fatal(err)
	}
	if n := w.count("SELECT (SELECT COUNT(*) FROM effects) + (SELECT COUNT(*) FROM thing_replays_1)"); n != 0 {
		t.Errorf("a refusal left %d rows", n)
	}
	if _, replayed, err := w.write(request(1, "k", "b"), nil); err != nil || replayed {
		t.Errorf("after a refusal: replayed %v, %v", replayed, err)
	}
}

// While a request is under way, the same one is refused at once, and other ones are not kept back.
func TestInProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		if _, _, err := w.write(request(1, "k", "a"), func() error { close(begun); <-goOn; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-begun
	at := time.Now()
	for range 5 {
		if _, _, err := w.write(request(1, "k", "a"), nil); code(err) != "in_progress" {
			t.Errorf("the same request: %v", err)
		}
	}
	if took := time.Since(at); took > 2*time.Second { // a wait for the lock takes two seconds each
		t.Errorf("the refusals took %v", took)
	}
	if _, _, err := w.write(request(1, "other", "a"), nil); err != nil {
		t.Errorf("another key: %v", err)
	}
	close(goOn)
	first.Wait()
	if _, replayed, err := w.write(request(1, "k", "a"), nil); !replayed || err != nil {
		t.Errorf("afterwards: replayed %v, %v", replayed, err)
	}
}

// Many requests with one key at once have one effect. Each is answered, or told that another one is under way.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all sync.WaitGroup
	var answered atomic.Int64
	for range 16 {
		all.Go(func() {
			answer, _, err := w.write(request(1, "k", "a"), nil)
			switch {
			case err == nil && answer.Status == 201:
				answered.Add(1)
			case code(err) != "in_progress" && db.FailureOf(err) != db.FailureDeadlock:
				t.Errorf("%+v, %v", answer, err)
			}
		})
	}
	all.Wait()
	if n := w.count("SELECT COUNT(*) FROM effects"); n != 1 || answered.Load() == 0 {
		t.Errorf("%d effects, %d answers", n, answered.Load())
	}
}

// What was killed before the commit never was, and what was killed after it is replayed.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, err := w.write(request(1, "k", "a"), func() error {
		// The connection of the transaction ends.
		var id string
		if err := w.QueryRowContext(w.Context(), "SELECT MIN(id) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()").Scan(&id); err != nil {
			return err
		}
		w.exec("KILL " + id)
		return nil
	})
	if err == nil {
		t.Fatal("the transaction of a lost connection was committed")
	}
	err = lifecycle.Poll(t.Context(), time.Millisecond, func() error { // until MySQL has undone the first one
		answer, replayed, err := w.write(request(1, "k", "a"), nil)
		if err == nil && (replayed || answer.Status != 201) {
			t.Errorf("after a loss: %+v, replayed %v", answer, replayed)
		}
		return err
	}, func(err error) bool { return code(err) != "in_progress" })
	if err != nil {
		t.Errorf("after a loss: %v", err)
	}
	if n := w.count("SELECT COUNT(*) FROM effects"); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestTheTimeOfAKeyEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	write := func(user int64, key string, wantReplayed bool) {
		t.Helper()
		if _, replayed, err := w.write(request(user, key, "a"), nil); err != nil || replayed != wantReplayed {
			t.Errorf("%s: replayed %v, %v", key, replayed, err)
		}
	}
	write(1, "old", false)
	write(1, "young", false)
	w.exec("UPDATE thing_replays_1 SET ends_at = NOW(3) WHERE idempotency_key = UNHEX(SHA2('old', 256))")
	write(1, "old", false)
	w.exec("UPDATE thing_replays_1 SET ends_at = NOW(3) WHERE idempotency_key = UNHEX(SHA2('old', 256))")
	w.exec("INSERT INTO thing_replays_1 (user_id, route, idempotency_key, fingerprint, ends_at) SELECT 3, 'r', seq, REPEAT('0', 32), NOW(3) FROM seq_1_to_1200")
	if n, err := w.Clean(w.Context(), w.DB); n != 1201 || err != nil {
		t.Errorf("cleaned %d, %v", n, err)
	}
	write(1, "young", true)
	write(2, "young", false)
	if n, err := w.Forget(w.Context(), w.DB, 1); n != 1 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	write(1, "young", false)
	write(2, "young", true)
	ctx, cancel := context.WithCancel(w.Context())
	cancel()
	if _, err := w.Clean(ctx, w.DB); err == nil {
		t.Error("cleaned without a context")
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	if replay.Fingerprint([]byte("ab"), []byte("c")) == replay.Fingerprint([]byte("a"), []byte("bc")) {
		t.Error("parts run into each other")
	}
}
