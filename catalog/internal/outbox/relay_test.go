package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
)

// A topic that Kafka does not have keeps back its own events only, and these come in order once there is one.
func TestATopicThatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t))
	other := "sluice." + letters() + ".v1"
	w.create(w.topic)
	for range 600 { // more than one look takes
		if _, err := change(t.Context(), w.Place, other, "ord_1", nil); err != nil {
			t.Fatal(err)
		}
	}
	w.exec("DELETE FROM things")
	for range 3 {
		if _, err := change(t.Context(), w.Place, w.topic, "ord_1", nil); err != nil {
			t.Fatal(err)
		}
	}
	w.start(other, w.topic)
	w.read(w.topic, map[string]uint64{"ord_1": 3})
	w.create(other)
	w.read(other, map[string]uint64{"ord_1": 600})
}

// A partition that refuses keeps back its own events only, also if a look would see no others.
func TestAPartitionThatRefuses(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := newWorld(t, cluster.ListenAddrs())
	w.create(w.topic)
	const sick, partitions = 1, 3
	var healed atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(asked kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		request := asked.(*kmsg.ProduceRequest)
		to := request.Topics[0].Partitions[0].Partition
		if healed.Load() || to != sick {
			return nil, nil, false
		}
		answer := request.ResponseKind().(*kmsg.ProduceResponse)
		topic, partition := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
		partition.Partition, partition.ErrorCode = to, kerr.NotEnoughReplicas.Code
		topic.Topic, topic.Partitions = request.Topics[0].Topic, []kmsg.ProduceResponseTopicPartition{partition}
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	waiting, others := map[string]uint64{}, map[string]uint64{}
	var all sync.WaitGroup
	for i := 0; len(waiting) < 6 || len(others) < 6; i++ {
		id, times, want := fmt.Sprintf("ord_%d", i), eventsMax/5, waiting
		if slotOf(id, partitions) != sick {
			times, want = 2, others
		}
		if len(want) == 6 {
			continue
		}
		want[id] = uint64(times)
		all.Go(func() {
			for range times {
				if _, err := change(t.Context(), w.Place, w.topic, id, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for id := range others { // these are behind all that the sick partition does not take
		if _, err := change(t.Context(), w.Place, w.topic, id, nil); err != nil {
			t.Fatal(err)
		}
		others[id]++
	}
	w.start(w.topic)
	w.read(w.topic, others)
	for w.count("SELECT COUNT(*) FROM thing_outbox") > 6*eventsMax/5 { // those that Kafka has go
		time.Sleep(10 * time.Millisecond)
	}
	if n := w.count("SELECT COUNT(*) FROM thing_outbox"); n != 6*eventsMax/5 {
		t.Errorf("%d events wait for the partition that refuses, want %d", n, 6*eventsMax/5)
	}
	healed.Store(true)
	maps.Copy(others, waiting)
	w.read(w.topic, others)
}

// A relay takes one connection to a database, however many outboxes this has.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t))
	w.create(w.topic)
	var sources []Source
	want := map[string]uint64{}
	for _, owner := range []string{"cart", "order", "payment"} {
		source := Source{Owner: owner, Topics: []string{w.topic}}
		for i, suffix := range []string{"", "_1"} {
			for statement := range strings.SplitSeq(strings.ReplaceAll(Tables(owner), "__", suffix), ";") {
				if strings.TrimSpace(statement) != "" {
					w.exec(statement)
				}
			}
			id := fmt.Sprintf("%s_%d", owner, i)
			if err := db.Write(t.Context(), w.Writer(), "an event", func(tx *sql.Tx) error {
				_, err := Of(owner, suffix).Append(t.Context(), tx, w.topic, id, "made", map[string]int{"n": 1})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			want[id] = 1
			source.Places = append(source.Places, place.Place{Copies: w.Copies, Name: "shop" + suffix, Suffix: suffix})
		}
		sources = append(sources, source)
	}
	relay := NewRelay(Config{Sources: sources, Kafka: w.kafka(), Metrics: metrics.NewSet(), Log: discard})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { relay.Run(ctx); close(ended) }()
	w.read(w.topic, want)
	if n := w.Writer().Stats().InUse; n != 1 {
		t.Errorf("the relay has %d connections", n)
	}
	cancel()
	<-ended
}

// Of many relays one works, and another one takes over when its connection is lost.
func TestOneRelayAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t))
	w.create(w.topic)
	for range 3 {
		w.start(w.topic)
	}
	if _, err := change(t.Context(), w.Place, w.topic, "ord_1", nil); err != nil {
		t.Fatal(err)
	}
	if repeated := w.read(w.topic, map[string]uint64{"ord_1": 1}); repeated != 0 {
		t.Errorf("%d events were repeated", repeated)
	}
	holder := w.count("SELECT IS_USED_LOCK(CONCAT('outbox thing ', MD5(DATABASE())))")
	w.exec(fmt.Sprintf("KILL %d", holder))
	if _, err := change(t.Context(), w.Place, w.topic, "ord_1", nil); err != nil {
		t.Fatal(err)
	}
	w.read(w.topic, map[string]uint64{"ord_1": 2})
}

// killed does one step of a writer or of a relay, and ends the process by SIGKILL.
func killed(dsn string, brokers []string, topic, step string) {
	p := openPlace(dsn)
	die := func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	ctx := context.Background()
	switch step {
	case "appended":
		_ = db.Write(ctx, p.Writer(), "a thing", func(tx *sql.Tx) error {
			_, _ = Of("thing", "").Append(ctx, tx, topic, "ord_1", "thing_changed", map[string]int{"n": -1})
			die()
			return nil
		})
	case "committed":
		if _, err := change(ctx, p, topic, "ord_1", nil); err == nil {
			die()
		}
	default:
		relay := newRelay(p, NewKafka(brokers), topic)
		relay.at = func(at string) {
			if at == step {
				die()
			}
		}
		relay.Run(ctx)
	}
	os.Exit(3)
}

// TestKills ends writers and relays between all steps. Nothing is lost, and what is repeated has the version that it had.
func TestKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t))
	w.create(w.topic)
	version := uint64(0)
	for _, step := range []string{"read", "published", "removed", "appended", "committed", "published", "read"} {
		for _, id := range []string{"ord_1", "ord_2"} {
			if _, err := change(t.Context(), w.Place, w.topic, id, nil); err != nil {
				t.Fatal(err)
			}
		}
		version++
		process := exec.CommandContext(t.Context(), os.Args[0])
		process.Env = append(slices.Clone(os.Environ()), dsnEnv+"="+w.dsn, brokersEnv+"="+strings.Join(w.brokers, ","), topicEnv+"="+w.topic, stepEnv+"="+step)
		if out, err := process.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("at step %s: %v\n%s", step, err, out)
		}
	}
	w.start(w.topic)
	if repeated := w.read(w.topic, map[string]uint64{"ord_1": version + 1, "ord_2": version}); repeated == 0 {
		t.Error("a relay that was killed after publishing repeated nothing: the test shows nothing")
	}
}
