package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/core/stock"
)

// Reasons why an effect is not acknowledged. The effect is there, so unproven makes each of them a stock.ErrUnknown.
var (
	errNotReplicated = errors.New("no replica has it yet")
	errBufferFull    = errors.New("the publisher's buffer is full")
	errLogTimeout    = errors.New("no acknowledgement of Kafka in time")
	errBacklog       = errors.New("too many events of the partition are on their way to Kafka")
)

func unproven(cause error) error {
	//nolint:errorlint // the cause may say that nothing was executed, which is not so of the effect
	return fmt.Errorf("%w: done, but not yet safe at the level asked for: %v", stock.ErrUnknown, cause)
}

// acknowledge returns once the effect of res is as safe as its cell's level demands.
func (b *Batcher) acknowledge(op stock.Op, r *stock.Request, res *Result, p proof) error {
	level, err := b.level(&res.Cell)
	if err != nil {
		return unproven(err)
	}
	missing := needOf(level, op, res.Verdict, p)
	if missing == needReplay {
		if p, err = b.replay(op, r); err != nil {
			return unproven(err)
		}
		missing = needOf(level, op, res.Verdict, p)
	}
	return b.meet(missing, r.ID.Partition(), p)
}

// meet waits for the proof that an effect still lacks, after all replays.
func (b *Batcher) meet(missing need, partition int, p proof) (err error) {
	switch missing {
	case needNothing:
		return nil
	case needReplay, needReplica: // a replay has waited for one
		err = errNotReplicated
	case needEntry:
		err = p.delivery.wait()
	case needProof:
		if err = b.prover.prove(partition); err == nil {
			err = b.stillHas(partition, p.mark)
		}
	}
	if err != nil {
		return unproven(err)
	}
	return nil
}

// level returns the acknowledge level of a cell. If the vector's answer lacked the cell, it reads it.
func (b *Batcher) level(cell *stock.CellState) (stock.Ack, error) {
	if !cell.Loaded {
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.CallTimeout)
		defer cancel()
		state, _, err := b.cells.State(ctx, cell.Cell, time.Minute)
		if err != nil {
			return 0, err
		}
		*cell = state
	}
	return b.levelOf(cell), nil
}

func (b *Batcher) levelOf(cell *stock.CellState) stock.Ack { return cell.Ack.Or(b.cfg.Ack) }

// replay sends the request again, with Replicate, because nobody knew its cell's level when its vector was sent. A
// replica that has the write after the replay also has the first effect.
func (b *Batcher) replay(op stock.Op, r *stock.Request) (proof, error) {
	b.meter.replays.Inc()
	var again Result
	p, err := b.decide(op, r, &again, true, true)
	if err != nil {
		return proof{}, err
	}
	if again.Verdict.Refused() {
		return proof{}, fmt.Errorf("its replay was answered %v", again.Verdict)
	}
	return p, nil
}

// stillHas fails unless the effect that mark counts is in Redis. Kafka alone does not prove it: a vetting may have opened the
// partition without the effect before Kafka had it.
func (b *Batcher) stillHas(partition int, mark stock.Mark) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b.meter.panicked(b.cfg.Log, p)
			err = fmt.Errorf("looking for effects panicked: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.CallTimeout)
	defer cancel()
	err = b.store.StillHas(ctx, partition, mark)
	if errors.Is(err, stock.ErrShut) {
		b.cfg.OnShut()
	}
	return err
}

// publish hands an entry to the publisher.
func (b *Batcher) publish(entry stock.Entry) {
	defer b.publishPanicked(nil)
	if !b.pub.Publish(entry) {
		b.meter.unpublished.Inc()
	}
}

// publishWait hands the entry of a vector that was sent at a time to the publisher, and ends delivery once the effects are safe.
func (b *Batcher) publishWait(entry stock.Entry, delivery *completion, mark stock.Mark, sent time.Time) {
	defer b.publishPanicked(delivery)
	b.work.Add(1)
	delivery.ended = b.work.Done
	time.AfterFunc(b.cfg.LogTimeout, func() { delivery.end(errLogTimeout) }) // one per vector: not worth stopping
	done := func(err error) {
		if err != nil || time.Since(sent) < stock.AckLate {
			delivery.end(err)
			return
		}
		go func() { delivery.end(b.stillHas(entry.Partition, mark)) }()
	}
	if !b.pub.PublishWait(entry, done) {
		b.meter.unpublished.Inc()
		delivery.end(errBufferFull)
	}
}

// publishPanicked goes on after a panic of the publisher. delivery is nil if nobody waits for Kafka.
func (b *Batcher) publishPanicked(delivery *completion) {
	if p := recover(); p != nil {
		b.meter.panicked(b.cfg.Log, p)
		if delivery != nil {
			delivery.end(fmt.Errorf("publishing panicked: %v", p))
		}
	}
}
