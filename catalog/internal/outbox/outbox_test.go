package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
)

// These make the test binary a process that ends itself at a step.
const dsnEnv, brokersEnv, topicEnv, stepEnv = "SLUICE_TEST_OUTBOX_DSN", "SLUICE_TEST_OUTBOX_BROKERS", "SLUICE_TEST_OUTBOX_TOPIC", "SLUICE_TEST_OUTBOX_STEP"

func TestMain(m *testing.M) {
	if os.Getenv(dsnEnv) != "" {
		killed(os.Getenv(dsnEnv), strings.Split(os.Getenv(brokersEnv), ","), os.Getenv(topicEnv), os.Getenv(stepEnv))
	}
	os.Exit(servicetest.Main(m).Run())
}

var discard = slog.New(slog.DiscardHandler)

// world is a place with an outbox, a table of current rows, and a topic.
type world struct {
	*testing.T
	dsn     string
	brokers []string
	topic   string
	place.Place
	Outbox
}

func newWorld(t *testing.T, brokers []string) *world {
	t.Helper()
	dsn := servicetest.MariaDB(t)
	w := &world{t, dsn, brokers, "sluice." + letters() + ".v1", openPlace(dsn), Of("thing", "")}
	t.Cleanup(func() { _ = w.Close() })
	for statement := range strings.SplitSeq(strings.ReplaceAll(Tables("thing"), "__", ""), ";") {
		if strings.TrimSpace(statement) != "" {
			w.exec(statement)
		}
	}
	w.exec("CREATE TABLE things (id VARCHAR(64) PRIMARY KEY, n INT NOT NULL)")
	return w
}

func letters() string {
	var b strings.Builder
	for range 20 {
		b.WriteByte(byte('a' + rand.N(26)))
	}
	return b.String()
}

func openPlace(dsn string) place.Place {
	pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 20, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		panic(err)
	}
	return place.Place{Copies: db.NewCopies("shop", pool, nil, 0, discard), Name: "shop"}
}

func (w *world) exec(statement string) {
	w.Helper()
	if _, err := w.Writer().ExecContext(w.Context(), statement); err != nil {
		w.Fatal(statement, err)
	}
}

func (w *world) count(query string) (n int) {
	w.Helper()
	if err := w.Writer().QueryRowContext(w.Context(), query).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// change changes a thing, and appends its event.
func change(ctx context.Context, p place.Place, topic, id string, after error) (version uint64, err error) {
	err = db.Write(ctx, p.Writer(), "a thing", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO things VALUES (?, 1) ON DUPLICATE KEY UPDATE n = n + 1", id); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT n FROM things WHERE id = ?", id).Scan(&n); err != nil {
			return err
		}
		if version, err = Of("thing", p.Suffix).Append(ctx, tx, topic, id, "thing_changed", map[string]int{"n": n}); err != nil {
			return err
		}
		return after
	})
	return version, err
}

func (w *world) kafka() *Kafka {
	k := NewKafka(w.brokers)
	w.Cleanup(k.Close)
	return k
}

func (w *world) create(topics ...string) {
	w.Helper()
	for range 2 { // the second time they are there
		if err := w.kafka().Create(w.Context(), topics, 3, 1); err != nil {
			w.Fatal(err)
		}
	}
}

// newRelay makes a relay of one outbox.
func newRelay(p place.Place, k *Kafka, topics ...string) *Relay {
	return NewRelay(Config{Sources: []Source{{"thing", topics, []place.Place{p}}}, Kafka: k, Metrics: metrics.NewSet(), Log: discard})
}

// start runs a relay until the test ends, or until stop.
func (w *world) start(topics ...string) (relay *Relay, stop func()) {
	relay = newRelay(w.Place, w.kafka(), topics...)
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() { relay.Run(ctx); close(ended) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	w.Cleanup(stop)
	return relay, stop
}

// read reads a topic from its beginning, until all aggregates have these versions, and holds what it reads to the promises.
func (w *world) read(topic string, want map[string]uint64) (repeated int) {
	w.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	seen := map[string][]Event{}
	reached := func() bool {
		for id, version := range want {
			if uint64(len(seen[id])) < version {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(30 * time.Second); ; {
		wait := time.Until(end)
		if reached() {
			wait = 200 * time.Millisecond // for what should not be there
		}
		ctx, cancel := context.WithTimeout(w.Context(), wait)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			break
		}
		fetches.EachRecord(func(r *kgo.Record) {
			e, err := Parse(r.Value)
			if err != nil || string(r.Key) != e.Aggregate {
				w.Fatalf("%s: %v", r.Value, err)
			}
			had := seen[e.Aggregate]
			switch {
			case e.Version == uint64(len(had))+1:
				seen[e.Aggregate] = append(had, e)
			case e.Version <= uint64(len(had)) && had[e.Version-1].ID == e.ID && string(had[e.Version-1].Data) == string(e.Data):
				repeated++
			default:
				w.Errorf("%s has version %d after %d", e.Aggregate, e.Version, len(had))
			}
		})
	}
	for id, version := range want {
		if got := uint64(len(seen[id])); got != version {
			w.Errorf("%s has %d versions in the topic, want %d", id, got, version)
		}
		for _, e := range seen[id] {
			if want := fmt.Sprintf(`{"n":%d}`, e.Version); string(e.Data) != want {
				w.Errorf("version %d of %s has the data %s, want %s", e.Version, id, e.Data, want)
			}
		}
	}
	return repeated
}

// TestVersionsHaveNoGaps changes a few things by many transactions at once, some of which are rolled back.
func TestVersionsHaveNoGaps(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		w := newWorld(t, brokers)
		w.create(w.topic)
		relay, _ := w.start(w.topic)
		var mu sync.Mutex
		want := map[string]uint64{}
		var all sync.WaitGroup
		no := errors.New("no")
		for i := range 8 {
			all.Go(func() {
				for n := range 40 {
					id, after := fmt.Sprintf("ord_%d", n%3), error(nil)
					if (n+i)%5 == 0 {
						after = no
					}
					version, err := change(t.Context(), w.Place, w.topic, id, after)
					for db.FailureOf(err) == db.FailureDeadlock { // those who wait for a first row that is rolled back
						version, err = change(t.Context(), w.Place, w.topic, id, after)
					}
					if after == nil && err != nil || after != nil && !errors.Is(err, no) {
						t.Error(err)
						return
					}
					if err == nil {
						mu.Lock()
						want[id] = max(want[id], version)
						mu.Unlock()
						relay.Wake()
					}
				}
			})
		}
		all.Wait()
		if sum := want["ord_0"] + want["ord_1"] + want["ord_2"]; sum != 8*32 {
			t.Errorf("%d events of %d commits", sum, 8*32)
		}
		w.read(w.topic, want)
		for w.count("SELECT COUNT(*) FROM thing_outbox") > 0 {
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// The statement leaves out what the program takes for the same slots.
func TestSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i := range 40 {
		id, slots := fmt.Sprintf("ord_%d", i*i*i), 1+i%9
		if got := w.count(fmt.Sprintf("SELECT CRC32('%s') %% %d", id, slots)); got != slotOf(id, slots) {
			t.Errorf("%s is in slot %d of %d, and %d by the statement", id, slotOf(id, slots), slots, got)
		}
	}
}

// TestSnapshots reads pages while things change: what a page says is true at one moment.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const things = 25
	for i := range things {
		if _, err := change(t.Context(), w.Place, w.topic, fmt.Sprintf("ord_%02d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := change(ctx, w.Place, w.topic, fmt.Sprintf("ord_%02d", i%things), nil); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	defer changing.Wait()
	defer cancel()
	for range 20 {
		found := 0
		for cursor, first := "", true; first || cursor != ""; first = false {
			next, err := w.Snapshot(t.Context(), w.Place, w.topic, cursor, 10, func(tx *sql.Tx, page []Version) error {
				for _, v := range page {
					var n uint64
					if err := tx.QueryRowContext(t.Context(), "SELECT n FROM things WHERE id = ?", v.Aggregate).Scan(&n); err != nil {
						return err
					}
					if n != v.Version {
						t.Errorf("%s has version %d, and its row is of version %d", v.Aggregate, v.Version, n)
					}
				}
				found += len(page)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			cursor = next
		}
		if found != things {
			t.Fatalf("%d things in the pages, want %d", found, things)
		}
	}
}

func TestWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	err := db.Write(t.Context(), w.Writer(), "events", func(tx *sql.Tx) error {
		for _, c := range []struct {
			topic, aggregate, kind string
			data                   any
		}{
			{"orders", "ord_1", "k", nil},
			{"sluice.orders.v1", "", "k", nil},
			{"sluice.orders.v1", "ord 1", "k", nil},
			{"sluice.orders.v1", "ord_1", "", nil},
			{"sluice.orders.v1", "ord_1", "K", nil},
			{"sluice.orders.v1", "ord_1", "k", strings.Repeat("x", 300<<10)},
			{"sluice.orders.v1", "ord_1", "k", make(chan int)},
		} {
			if _, err := w.Append(t.Context(), tx, c.topic, c.aggregate, c.kind, c.data); err == nil {
				t.Errorf("%s %q %q was appended", c.topic, c.aggregate, c.kind)
			}
		}
		return nil
	})
	if n := w.count("SELECT COUNT(*) FROM thing_versions"); err != nil || n != 0 {
		t.Errorf("refused events left %d versions, %v", n, err)
	}
	for _, text := range []string{"", "{}", `{"event_id":"evt_0000000000001","type":"k","aggregate_id":"a","version":0}`} {
		if e, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is the event %+v", text, e)
		}
	}
}
