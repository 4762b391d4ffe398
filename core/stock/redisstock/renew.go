package redisstock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// shut tells whether a partition serves nobody, or should not: its server was not vetted since it started, its data
// are not those that were vetted, or have fewer effects than MySQL knows of or this process has seen. One that serves
// callers of another version is open.
func (v *vetting) shut(partition int) bool {
	mark := v.found[partition]
	if !v.ownerOf[partition].scripts.sign || !mark.covers(PartitionMark(v.vettings[partition])) {
		return true
	}
	return partition < len(v.cfg.Seen) && v.cfg.Seen[partition].Nonce == mark.Nonce && !mark.covers(v.cfg.Seen[partition])
}

// unknown are the partitions that have lost something and may be sold by others, with marks that MySQL does not have. Then
// it may be the wrong one, and stops nobody.
func (v *vetting) unknown() (partitions []int) {
	for _, p := range v.report.Lost {
		if v.ownerOf[p].scripts.sign && v.found[p].Nonce != 0 && v.found[p].Nonce != v.vettings[p].Nonce {
			partitions = append(partitions, p)
		}
	}
	return partitions
}

// proven are the marks of the partitions that sell and have lost nothing: they need not wait for the others.
func (v *vetting) proven() []PartitionMark {
	marks := make([]PartitionMark, len(v.found))
	for p := range marks {
		if !v.lost[p] && !v.shut(p) {
			marks[p] = v.found[p]
		}
	}
	return marks
}

// watch has the servers notice when the cells of shut partitions are emptied or exchanged while they are
// compared. Scripts change them only for those who trust a mark that MySQL does not know, or who know no sign.
func (v *vetting) watch(ctx context.Context) error {
	for _, p := range v.primaries {
		commands := []rueidis.Completed{p.conn.B().Unwatch().Build()} // what an earlier vetting has left
		for _, partition := range p.partitions {
			if v.shut(partition) {
				commands = append(commands, p.conn.B().Watch().Key(keysOf(partition).cells).Build())
			}
		}
		if err := firstError(p.conn.DoMulti(ctx, commands...)); err != nil {
			return fmt.Errorf("watch cells on %s: %w", p, err)
		}
	}
	return nil
}

// errChanged tells that what watch watches has changed since.
var errChanged = errors.New("its data changed while they were compared")

// unchanged fails with errChanged if they did.
func (v *vetting) unchanged(ctx context.Context, p *primary) error {
	b := p.conn.B
	answers := p.conn.DoMulti(ctx, b().Multi().Build(), b().Exec().Build()) // an empty one is refused by no full server
	err := firstError(answers)
	if rueidis.IsRedisNil(err) {
		return fmt.Errorf("%s: %w", p, errChanged)
	}
	return err
}

// renew gives the partitions that are shut a nonce of this vetting and loads the scripts, upon which they
// sell. Those that are open keep theirs, so that nobody notices, and serve callers of this version too. Those that
// have lost something stay shut.
func (v *vetting) renew(ctx context.Context) error {
	var changes []stock.NonceChange
	for p := range v.cfg.Partitions {
		if v.lost[p] {
			v.found[p] = PartitionMark{}
			continue
		}
		if !v.shut(p) {
			continue
		}
		nonce, err := newNonce()
		if err != nil {
			return err
		}
		changes = append(changes, stock.NonceChange{Partition: p, Old: v.vettings[p].Nonce, New: nonce})
		v.found[p] = PartitionMark{Nonce: nonce}
	}
	v.report.Marks = v.found
	v.report.Renewed = len(changes)
	if len(changes) == 0 {
		return v.load(ctx)
	}
	return v.cfg.Nonces.Replace(ctx, changes, func(ctx context.Context) error {
		// Evidence takes a while to read, and a primary that was replaced meanwhile may not know it yet.
		if err := samePrimaries(ctx, v.client, v.primaries, v.cfg.Partitions); err != nil {
			return err
		}
		if err := v.writeMarks(ctx, changes); err != nil {
			if errors.Is(err, errChanged) {
				return errors.Join(err, v.silence(ctx, changes))
			}
			return err
		}
		return v.load(ctx)
	})
}

// silence takes the marks from partitions that are shut and changed all the same: somebody sells from data that MySQL
// does not know, as programs do that know no sign. They are refused until the partitions are opened by the next try.
func (v *vetting) silence(ctx context.Context, changes []stock.NonceChange) error {
	v.cfg.Log.Warn("redis is changed while it is shut: refusing those who change it until it is vetted", "partitions", len(changes))
	for _, c := range changes {
		p := v.ownerOf[c.Partition]
		if err := p.conn.Do(ctx, p.conn.B().Del().Key(keysOf(c.Partition).mark).Build()).Error(); err != nil {
			return fmt.Errorf("shut partition %d on %s: %w", c.Partition, p, err)
		}
	}
	return nil
}

func newNonce() (uint64, error) {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("make nonce: %w", err)
		}
		if n := binary.BigEndian.Uint64(b[:]) >> 1; n != 0 { // as databases like it
			return n, nil
		}
	}
}

func (v *vetting) writeMarks(ctx context.Context, changes []stock.NonceChange) error {
	changed := make(map[int]bool, len(changes))
	for _, c := range changes {
		changed[c.Partition] = true
	}
	for _, p := range v.primaries {
		var commands []rueidis.Completed
		for _, partition := range p.partitions {
			if changed[partition] {
				commands = append(commands, v.upkeep.writeMark(p.conn.B(), partition, v.found[partition]))
			}
		}
		if err := v.unchanged(ctx, p); err != nil {
			return err
		}
		if err := firstError(p.conn.DoMulti(ctx, commands...)); err != nil {
			return fmt.Errorf("write marks on %s: %w", p, err)
		}
	}
	return nil
}

// load loads every script on every primary that lacks one.
func (v *vetting) load(ctx context.Context) error {
	for _, p := range v.primaries {
		if p.scripts.all {
			continue
		}
		if err := loadScripts(ctx, p.conn, v.scripts); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// stop takes the marks from partitions whose data are proven to have lost effects, so that those who still
// call them are refused. Data that were not vetted with this MySQL are left alone, as it may be the wrong one, unless
// their server is about to be opened for other partitions.
func (v *vetting) stop(ctx context.Context) error {
	for _, p := range v.primaries {
		opening := len(v.causes) == 0 && !p.scripts.sign
		var commands []rueidis.Completed
		for _, partition := range p.partitions {
			if v.lost[partition] && (opening || v.found[partition].Nonce == v.vettings[partition].Nonce) {
				commands = append(commands, p.conn.B().Del().Key(keysOf(partition).mark).Build())
			}
		}
		if err := firstError(p.conn.DoMulti(ctx, commands...)); err != nil {
			return fmt.Errorf("shut partitions on %s: %w", p, err)
		}
	}
	return nil
}
