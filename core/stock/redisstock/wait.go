package redisstock

import (
	"strconv"

	"github.com/redis/rueidis"
)

// waiting is a small write to a partition and a WAIT for one replica to have it, and with it all that the
// server did before. From Redis 7.2 on, and in Valkey, WAIT covers no more than its own connection's last
// write: a vector of replays writes nothing, and alone it would be told at once that replicas have it.
// Only a write that is replicated does, which one that changes nothing (SETNX, DEL) is not.
func (s *Store) waiting(client rueidis.Client, partition int) []rueidis.Completed {
	return []rueidis.Completed{
		client.B().Set().Key(s.shards[partition].wait).Value("1").Build(),
		client.B().Arbitrary("WAIT", "1", strconv.FormatInt(s.cfg.ReplicaTimeout.Milliseconds(), 10)).Blocking(),
	}
}

// replicasOf reads the answers to waiting: whether the write was done, which a full server refuses, and how
// many replicas have it. An error is "not known", which is none. Without the write, replicas have what the
// same connection wrote before.
func replicasOf(answers []rueidis.RedisResult) (wrote bool, replicas int64) {
	replicas, _ = answers[1].AsInt64()
	return answers[0].Error() == nil, replicas
}
