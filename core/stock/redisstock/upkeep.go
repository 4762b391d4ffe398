package redisstock

import (
	"context"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/lua"
)

// upkeep has the scripts that are not part of the sign of an open server. Most must run on a full server, because
// otherwise the server could not free itself. When its memory is full, Redis refuses plain writes and transactions,
// but runs scripts with the flag allow-oom or no-writes.
//
// The store sends these scripts whole, by EVAL. It must also relay the outbox of a server that is not open, and such
// a server knows no script. Upkeep scripts do not count when the store asks whether a server is open.
type upkeep struct{ lease, relayed, unrelayed, counts, may, vetted, shut, amend, rebuild, clear, refill, shift, vouch string }

// upkeepScript reads a script of package lua, unless a test has seeded a bug in it.
var upkeepScript = lua.Upkeep

func loadUpkeep() (u upkeep, err error) {
	for name, source := range map[string]*string{
		"lease": &u.lease, "relayed": &u.relayed, "unrelayed": &u.unrelayed, "counts": &u.counts, "may": &u.may, "vetted": &u.vetted,
		"shut":  &u.shut,
		"amend": &u.amend, "rebuild": &u.rebuild, "clear": &u.clear, "refill": &u.refill, "shift": &u.shift, "vouch": &u.vouch,
	} {
		script, err := upkeepScript(name)
		if err != nil {
			return upkeep{}, err
		}
		*source = script.Source
	}
	return u, nil
}

// keep runs an upkeep script about keys of a partition beside its mark, and returns the number that it answers. It fails with
// stock.ErrShut if the store does not trust the data. It does not compare the effects, as checkNonce does not.
func (s *Store) keep(ctx context.Context, what, script string, partition int, about []string, args ...string) (int64, error) {
	if err := s.checkPartition(partition); err != nil {
		return 0, err
	}
	return s.keepBy(ctx, s.marks.of(partition), what, script, partition, about, args...)
}

// keepBy is keep by a mark that the caller trusts.
func (s *Store) keepBy(ctx context.Context, trusted stock.Mark, what, script string, partition int, about []string, args ...string) (n int64, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		if trusted.Nonce == 0 {
			return untrusted(what)
		}
		answer, err := s.client.Do(ctx, s.client.B().Eval().Script(script).Numkeys(int64(1+len(about))).Key(k.mark).Key(about...).
			Arg(string(appendMark(nil, trusted))).Arg(args...).Build()).AsIntSlice()
		if err != nil {
			return wrap(what, err)
		}
		if len(answer) != 1 {
			return wrapProtocol(what, elementsError(len(answer)))
		}
		n = answer[0]
		return nil
	})
	return n, err
}

// writeMark returns the command that gives a partition the mark of a vetting.
func (u upkeep) writeMark(b rueidis.Builder, partition int, mark stock.Mark) rueidis.Completed {
	return b.Eval().Script(u.vetted).Numkeys(1).Key(keysOf(partition).mark).Arg(string(appendMark(nil, mark))).Build()
}

// deleteMark returns the command that deletes the mark of a partition, unless it is of another vetting than the one found.
func (u upkeep) deleteMark(b rueidis.Builder, partition int, found stock.Mark) rueidis.Completed {
	return b.Eval().Script(u.shut).Numkeys(1).Key(keysOf(partition).mark).Arg(string(appendMark(nil, found))).Build()
}
