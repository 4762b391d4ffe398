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

// shut reports whether a partition serves nobody, or must not serve anybody. There are three reasons: nobody has vetted
// its server since it started; its data are not the vetted ones; or they have fewer effects than MySQL knows of, or
// than this process has seen. A partition that serves callers of another version is open.
func (v *vetting) shut(partition int) bool {
	mark := v.found[partition]
	if !v.ownerOf[partition].scripts.sign || !mark.covers(PartitionMark(v.vettings[partition])) {
		return true
	}
	return partition < len(v.cfg.Seen) && v.cfg.Seen[partition].Nonce == mark.Nonce && !mark.covers(v.cfg.Seen[partition])
}

// unknown returns the partitions that have lost something and have a mark that MySQL does not know. Others may sell from
// them. This may be the wrong MySQL, so the vetting must not stop those others.
func (v *vetting) unknown() (partitions []int) {
	for _, p := range v.report.Lost {
		if v.ownerOf[p].scripts.sign && v.found[p].Nonce != 0 && v.found[p].Nonce != v.vettings[p].Nonce {
			partitions = append(partitions, p)
		}
	}
	return partitions
}

// proven returns the marks of the open partitions that have lost nothing. They need not wait for the others.
func (v *vetting) proven() []PartitionMark {
	marks := make([]PartitionMark, len(v.found))
	for p := range marks {
		if !v.lost[p] && !v.shut(p) {
			marks[p] = v.found[p]
		}
	}
	return marks
}

// watch has the servers notice if the cells of shut partitions change during the comparison, for example because
// somebody empties or exchanges them. Scripts change such cells only for callers that trust a mark which MySQL does not
// know, and for programs that do not know the sign.
func (v *vetting) watch(ctx context.Context) error {
	for _, p := range v.primaries {
		commands := []rueidis.Completed{p.conn.B().Unwatch().Build()} // an earlier vetting may have left a watch
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

// errChanged means that cells which watch watches have changed.
var errChanged = errors.New("its data changed while they were compared")

// unchanged fails with errChanged if the watched cells of a server have changed.
func (v *vetting) unchanged(ctx context.Context, p *primary) error {
	b := p.conn.B
	answers := p.conn.DoMulti(ctx, b().Multi().Build(), b().Exec().Build()) // it is empty, so even a full server accepts it
	err := firstError(answers)
	if rueidis.IsRedisNil(err) {
		return fmt.Errorf("%s: %w", p, errChanged)
	}
	return err
}

// renew gives the shut partitions a new nonce and loads the scripts. From then on they sell. Open partitions keep their
// nonce, so that their callers notice nothing; with the scripts loaded they also serve callers of this version.
// Partitions that have lost something stay shut.
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
		// Reading the evidence takes a while. A primary that was replaced meanwhile may not know it yet.
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

// silence deletes the marks of shut partitions that have changed all the same. Somebody sells from data that MySQL does
// not know, for example a program that does not know the sign. Redis refuses such callers until the next try has opened
// the partitions.
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
		if n := binary.BigEndian.Uint64(b[:]) >> 1; n != 0 { // 63 bits fit into every integer type of a database
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

// stop deletes the marks of partitions that have lost effects, so that Redis refuses everybody who still calls them. It
// leaves alone data that were vetted with another MySQL, because this one may be wrong, unless it is about to open
// their server for other partitions.
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
