package redisstock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// shut tells whether a partition serves nobody, or should not: its server lacks scripts, its data are not
// those that were vetted, or have fewer effects than MySQL knows of or this process has seen.
func (v *vetting) shut(partition int) bool {
	mark := v.found[partition]
	if !v.ownerOf[partition].scripts || !mark.covers(PartitionMark(v.vettings[partition])) {
		return true
	}
	return partition < len(v.cfg.Seen) && v.cfg.Seen[partition].Nonce == mark.Nonce && !mark.covers(v.cfg.Seen[partition])
}

// proven are the marks of the partitions that sell and have lost nothing, where nothing but lost effects speaks
// against opening: they need not wait for the others.
func (v *vetting) proven() []PartitionMark {
	if !v.sound {
		return nil
	}
	marks := make([]PartitionMark, len(v.found))
	for p := range marks {
		if !v.lost[p] && !v.shut(p) {
			marks[p] = v.found[p]
		}
	}
	return marks
}

// watch has the servers notice when the cells of shut partitions are emptied or exchanged while they are
// compared. A script does not change them: it is refused.
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

// unchanged fails if what watch watches has changed since.
func (v *vetting) unchanged(ctx context.Context, p *primary) error {
	b := p.conn.B
	answers := p.conn.DoMulti(ctx, b().Multi().Build(), b().Exec().Build()) // an empty one is refused by no full server
	err := firstError(answers)
	if rueidis.IsRedisNil(err) {
		return fmt.Errorf("%s: its data changed while they were compared", p)
	}
	return err
}

// renew gives the partitions that are shut a nonce of this vetting and loads the scripts, upon which they
// sell. Those that are open keep theirs, so that nobody notices. Those that have lost something stay shut.
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
		return nil
	}
	return v.cfg.Nonces.Replace(ctx, changes, func(ctx context.Context) error {
		// Evidence takes a while to read, and a primary that was replaced meanwhile may not know it yet.
		if err := samePrimaries(ctx, v.client, v.primaries, v.cfg.Partitions); err != nil {
			return err
		}
		if err := v.writeMarks(ctx, changes); err != nil {
			return err
		}
		return v.load(ctx)
	})
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
		if p.scripts {
			continue
		}
		for _, script := range v.scripts {
			sum, err := p.conn.Do(ctx, p.conn.B().ScriptLoad().Script(script.Source).Build()).ToString()
			if err != nil {
				return fmt.Errorf("load script %s on %s: %w", script.Name, p, err)
			}
			if sum != script.SHA1 {
				return fmt.Errorf("load script %s on %s: it is %s there, want %s", script.Name, p, sum, script.SHA1)
			}
		}
	}
	return nil
}

// stop takes the marks from partitions whose data are proven to have lost effects, so that those who still
// call them are refused. Data that were not vetted with this MySQL are left alone: it may be the wrong one.
func (v *vetting) stop(ctx context.Context) error {
	for _, p := range v.primaries {
		var commands []rueidis.Completed
		for _, partition := range p.partitions {
			if v.lost[partition] && v.found[partition].Nonce == v.vettings[partition].Nonce {
				commands = append(commands, p.conn.B().Del().Key(keysOf(partition).mark).Build())
			}
		}
		if err := firstError(p.conn.DoMulti(ctx, commands...)); err != nil {
			return fmt.Errorf("shut partitions on %s: %w", p, err)
		}
	}
	return nil
}
