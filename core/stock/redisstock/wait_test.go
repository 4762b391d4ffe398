package redisstock

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
	"sluice/core/redis"
)

// TestReplicaIsBelievedForAWhile asks a node that does not answer, once what was seen of its replicas is old.
func TestReplicaIsBelievedForAWhile(t *testing.T) {
	t.Parallel()
	client := newSpy(t)
	s, err := New(client, Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	s.now = func() time.Time { return now }
	n, asked := node{client, &replica{}}, 0
	f := func(what string, want bool, asks int) {
		t.Helper()
		if got := s.hasReplica(t.Context(), n, 0); got != want {
			t.Errorf("%s: it has a replica: %v, want %v", what, got, want)
		}
		if asked += asks; len(client.sent) != 2*asked { // a write and a wait
			t.Errorf("%s: %d commands sent so far, want %d", what, len(client.sent), 2*asked)
		}
	}
	f("never seen", false, 1)
	n.replica.saw(now, wait{replicas: 1})
	f("just seen", true, 0)
	n.replica.saw(now, wait{err: errors.New("nobody knows")})
	f("just seen, and another wait was cut off", true, 0)
	now = now.Add(replicaMaxAge)
	f("seen long ago", false, 1)
	n.replica.saw(now, wait{replicas: 0})
	f("just missed", false, 0)
	now = now.Add(replicaMissingFor)
	f("missed long ago", false, 1)
}

// TestWaitWithoutItsWrite tells a server that is full from one that is no primary any more: what a wait without a
// write of its own has shown.
func TestWaitWithoutItsWrite(t *testing.T) {
	t.Parallel()
	client, err := rueidis.NewClient(redis.Options([]string{servicetest.Redis(t).Addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for refusal, want := range map[string]bool{
		"OOM command not allowed when used memory > 'maxmemory'.":  true,
		"READONLY You can't write against a read only replica.":    false,
		"MISCONF Errors writing to the AOF file: No space left on": false,
	} {
		script := client.B().Eval().Script("return redis.error_reply(ARGV[1])").Numkeys(0).Arg(refusal).Build()
		w := wait{wrote: client.Do(t.Context(), script).Error(), replicas: 1}
		var r replica
		if r.saw(time.Unix(1000, 0), w); r.good != want {
			t.Errorf("%v: good is %v, want %v", w.wrote, r.good, want)
		}
	}
}
