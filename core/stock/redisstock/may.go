package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// ErrDenied means that the user of Redis may not run all commands of the scripts.
var ErrDenied = errors.New("the user of redis has too few rights")

// scriptCommands has the commands that the scripts use, each with its arguments after the key, and TIME.
var scriptCommands = []string{
	"DEL", "EXISTS", "GET", "HDEL f", "HINCRBY f 1", "HLEN", "HMGET f", "HSET f v", "SET v", "XADD * f v", "XLEN",
	"SADD m", "SCARD", "SMISMEMBER m", "ZADD 1 m", "ZCARD", "ZCOUNT 0 1", "ZRANGE 0 1", "ZREM m",
}

// checkRights fails with ErrDenied if the user may not run the commands of the scripts on the keys of a partition. Callers
// ask before any script runs, because Redis breaks a script off at a denied command and keeps what it has written
// before.
func checkRights(ctx context.Context, client rueidis.CoreClient, u upkeep, partition int) error {
	k := keysOf(partition)
	all := []string{k.mark, k.cells, k.res, k.due, k.gone, k.outbox, k.meta, k.relay, k.wait, k.restorer, k.baskets, k.undecided, k.buyers(0), k.registered(0), k.whole}
	denied, err := client.Do(ctx, client.B().Eval().Script(u.may).Numkeys(int64(len(all))).Key(all...).
		Arg(scriptCommands...).Build()).AsStrSlice()
	refusal, refused := rueidis.IsRedisErr(err)
	switch {
	case refused && strings.HasPrefix(refusal.Error(), "NOPERM"):
		return fmt.Errorf("%w: %w: docs/security.md has the whole list", ErrDenied, err)
	case err != nil:
		return fmt.Errorf("ask for the rights of the user: %w", err)
	case len(denied) > 0:
		return fmt.Errorf("%w: it must not run %s on keys {p*: docs/security.md has the whole list", ErrDenied, strings.Join(denied, ", "))
	}
	return nil
}

// checkRights asks every server that answers.
func (s *Store) checkRights(ctx context.Context) error {
	asked := map[string]bool{}
	for p := range s.partitions {
		addr, err := s.nodes.addr(ctx, s, p)
		if err != nil || asked[addr] {
			continue
		}
		asked[addr] = true
		if err := checkRights(ctx, s.client, s.upkeep, p); errors.Is(err, ErrDenied) {
			return err
		}
	}
	return nil
}
