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

// watch has the servers notice if the cells of shut partitions change during the comparison, for example because
// somebody empties or exchanges them. Scripts change such cells only for callers that trust a mark which MySQL does not
// know, and for programs that do not know the sign. Partitions that are empty, or being restored, may change: they are not
// opened if there is stock of them.
func (v *vetting) watch(ctx context.Context) error {
	for _, p := range v.primaries {
		commands := []rueidis.Completed{p.conn.B().Unwatch().Build()} // an earlier vetting may have left a watch
		for _, partition := range p.partitions {
			if found := &v.partitions[partition]; found.shut() && found.counts.cells > 0 && !found.restoring {
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
	v.report.Marks = v.proven(&v.findings)
	for p := range v.partitions {
		if !v.opens(&v.findings, p) {
			continue
		}
		nonce, err := newNonce()
		if err != nil {
			return err
		}
		changes = append(changes, stock.NonceChange{Partition: p, Old: v.partitions[p].kept.Nonce, New: nonce})
		v.report.Marks[p] = stock.Mark{Nonce: nonce}
	}
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
				commands = append(commands, v.upkeep.writeMark(p.conn.B(), partition, v.report.Marks[partition]))
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

// stop deletes the marks of the partitions that the judgement stops, so that Redis refuses everybody who still calls
// them. It fails with errChanged if another process has vetted one of them since, because that process may have rebuilt
// the partition.
func (v *vetting) stop(ctx context.Context) error {
	for _, p := range v.primaries {
		var commands []rueidis.Completed
		for _, partition := range p.partitions {
			if v.stops(&v.findings, partition) {
				commands = append(commands, v.upkeep.deleteMark(p.conn.B(), partition, v.partitions[partition].mark))
			}
		}
		for _, answer := range p.conn.DoMulti(ctx, commands...) {
			done, err := answer.AsIntSlice()
			if err == nil && (len(done) != 1 || done[0] != 1) {
				err = errChanged
			}
			if err != nil {
				return fmt.Errorf("shut partitions on %s: %w", p, err)
			}
		}
	}
	return nil
}
