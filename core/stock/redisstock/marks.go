package redisstock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// markBytes: nonce 8, effects 6.
const markBytes = 8 + 6

// appendMark appends a mark in the form that it has in Redis.
func appendMark(dst []byte, m stock.Mark) []byte {
	dst = binary.BigEndian.AppendUint64(dst, m.Nonce)
	dst = append(dst, byte(m.Effects>>40), byte(m.Effects>>32))
	return binary.BigEndian.AppendUint32(dst, uint32(m.Effects))
}

// markFrom reads a mark from Redis. Anything that is not a mark counts as none.
func markFrom(value string) stock.Mark {
	if len(value) != markBytes {
		return stock.Mark{}
	}
	b := bytesOf(value)
	return stock.Mark{Nonce: binary.BigEndian.Uint64(b), Effects: uintAt(b, 8, 6)}
}

// marks has the mark of each partition that this process trusts.
type marks struct {
	mu     sync.RWMutex
	list   []stock.Mark
	vetted []bool // by this process

	keeping sync.Mutex
	kept    []stock.Mark // the part of list that KeepMarks has reported
}

func newMarks(partitions int) marks {
	return marks{
		list: make([]stock.Mark, partitions), vetted: make([]bool, partitions), kept: make([]stock.Mark, partitions),
	}
}

func (m *marks) of(partition int) stock.Mark {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.list[partition]
}

// saw notes the mark from the answer to a call.
func (m *marks) saw(partition int, told stock.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mine := &m.list[partition]; mine.Nonce == told.Nonce {
		mine.Effects = max(mine.Effects, told.Effects)
	}
}

func (m *marks) all() []stock.Mark {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.list)
}

// trust takes marks over. It leaves out marks without a nonce.
func (m *marks) trust(marks []stock.Mark, vetted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range min(len(marks), len(m.list)) {
		if marks[p].Nonce == 0 {
			continue
		}
		m.vetted[p] = m.vetted[p] || vetted
		if mine := &m.list[p]; mine.Nonce == marks[p].Nonce {
			mine.Effects = max(mine.Effects, marks[p].Effects)
		} else {
			*mine = marks[p]
		}
	}
}

// distrust stops trusting partitions.
func (m *marks) distrust(partitions []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range partitions {
		m.list[p], m.vetted[p] = stock.Mark{}, false
	}
}

// mayCreate reports whether this process may create cells in a partition. It may if it has vetted the data. Other data
// may lack cells, because data that were set back before the process began have the right nonce.
func (m *marks) mayCreate(partition int) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.list[partition].Nonce != 0 && m.vetted[partition]
}

// Vetted reports whether this process trusts any data, and has vetted all data that it trusts.
func (s *Store) Vetted() bool {
	s.marks.mu.RLock()
	defer s.marks.mu.RUnlock()
	vetted := false
	for p, mark := range s.marks.list {
		if mark.Nonce == 0 {
			continue
		}
		if vetted = s.marks.vetted[p]; !vetted {
			return false
		}
	}
	return vetted
}

// Marks returns the marks that the store trusts, by partition, for Resume in a later run of the same caller.
func (s *Store) Marks() []stock.Mark { return s.marks.all() }

// Trust has the store trust the partitions that a vetting of this process has found to be right; marks are those of its
// report. Before Trust, Resume or Adopt all calls to a partition fail with stock.ErrShut. Calls that create cells fail
// until Trust.
func (s *Store) Trust(marks []stock.Mark) { s.marks.trust(marks, true) }

// Distrust has the store stop calling partitions, because a vetting has found that they lost something.
func (s *Store) Distrust(partitions []int) { s.marks.distrust(partitions) }

// Resume has the store trust the marks that an earlier run of this caller trusted.
func (s *Store) Resume(marks []stock.Mark) { s.marks.trust(marks, false) }

// Trusted returns stock.ErrShut unless this process trusts the data of a partition.
func (s *Store) Trusted(partition int) error {
	if s.marks.of(partition).Nonce == 0 {
		return untrusted("take")
	}
	return nil
}

// Trusts reports whether the store trusts the data of any partition.
func (s *Store) Trusts() bool {
	return slices.ContainsFunc(s.Marks(), func(m stock.Mark) bool { return m.Nonce != 0 })
}

// Adopt has the store trust data that others have vetted: data with the nonce that MySQL keeps, and with all the effects
// that MySQL knows of. The data of other partitions were lost, exchanged or set back, perhaps before this process began.
// From now on the store notices such a change by itself. Adopt also loads this version's scripts on servers that others
// have opened. An error may concern some partitions only.
func (s *Store) Adopt(ctx context.Context, nonces stock.Nonces) error {
	if err := s.CheckLedger(ctx, nonces); errors.Is(err, ErrForeign) { // on other errors the calls below fail too, as far as it matters
		return err
	}
	vetted, err := nonces.Read(ctx, len(s.partitions))
	if err != nil {
		return fmt.Errorf("adopt vetted data: %w", err)
	}
	reading, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	found, err := s.readMarks(reading)
	marks := make([]stock.Mark, len(found))
	for p := range found {
		if found[p].Covers(vetted[p]) {
			marks[p] = found[p].Mark
		}
	}
	s.marks.trust(marks, false)
	if err := errors.Join(err, s.LoadScripts(ctx)); err != nil {
		return fmt.Errorf("adopt vetted data: %w", err)
	}
	return nil
}

// KeepMarks reports to nonces what the store has seen since its last report, for processes that adopt the data later.
func (s *Store) KeepMarks(ctx context.Context, nonces stock.Nonces) error {
	s.marks.keeping.Lock()
	defer s.marks.keeping.Unlock()
	marks := s.Marks()
	seen := make([]stock.Mark, len(marks))
	news := false
	for p, m := range marks {
		if s.marks.kept[p] != m {
			seen[p], news = m, true
		}
	}
	if !news {
		return nil
	}
	if err := nonces.Saw(ctx, seen); err != nil {
		return err
	}
	s.marks.kept = marks
	return nil
}

// readMarks reads the marks from Redis. If some servers do not answer, it still returns the marks of the others.
func (s *Store) readMarks(ctx context.Context) ([]foundMark, error) {
	found := make([]foundMark, len(s.partitions))
	var unread stock.PartitionErrors
	for p, a := range s.askAll(ctx, func(k keys) rueidis.Completed { return s.client.B().Get().Key(k.mark).Build() }) {
		f := &found[p]
		if f.Mark, f.err = markOf(a); f.err != nil {
			unread.Add(p, wrap("read marks", f.err))
		}
	}
	return found, unread.Err()
}

// StillHas fails with stock.ErrShut unless the data of a partition are those that had this mark, or have grown from them. So they
// have every effect that the mark counts.
func (s *Store) StillHas(ctx context.Context, partition int, mark stock.Mark) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	found, err := markOf(s.client.Do(ctx, s.client.B().Get().Key(s.partitions[partition].mark).Build()))
	if err != nil {
		return wrap("read mark", err)
	}
	if !found.Covers(mark) {
		return untrusted("look for effects")
	}
	return nil
}

// checkNonce fails with stock.ErrShut if an answer to GET is not the mark of data that the store trusts. It does not
// compare the effects. Its callers carry events along, and the events in data that were set back did happen.
func (s *Store) checkNonce(what string, partition int, answer rueidis.RedisResult) error {
	found, err := markOf(answer)
	if err != nil {
		return wrap("read mark", err)
	}
	if found.Nonce == 0 || found.Nonce != s.marks.of(partition).Nonce {
		return untrusted(what)
	}
	return nil
}

// onTrusted sends commands that read, between two looks at the mark. So their answers come from data that the store
// trusts.
func (s *Store) onTrusted(ctx context.Context, what string, partition int, commands ...rueidis.Completed) ([]rueidis.RedisResult, error) {
	look := func() rueidis.Completed { return s.client.B().Get().Key(s.partitions[partition].mark).Build() }
	answers := s.client.DoMulti(ctx, slices.Concat([]rueidis.Completed{look()}, commands, []rueidis.Completed{look()})...)
	last := len(answers) - 1
	for _, answer := range []rueidis.RedisResult{answers[0], answers[last]} {
		if err := s.checkNonce(what, partition, answer); err != nil {
			return nil, err
		}
	}
	return answers[1:last], nil
}

// checkTrust reads the mark and fails as checkNonce does. Its caller writes a moment later. If the data are exchanged in
// that moment, the write reaches the new data.
func (s *Store) checkTrust(ctx context.Context, what string, partition int) error {
	return s.checkNonce(what, partition, s.client.Do(ctx, s.client.B().Get().Key(s.partitions[partition].mark).Build()))
}

// foundMark is the mark of a partition in Redis, or why it could not be read.
type foundMark struct {
	stock.Mark

	err error
}

func markOf(answer rueidis.RedisResult) (stock.Mark, error) {
	value, err := answer.ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		return stock.Mark{}, err
	}
	return markFrom(value), nil
}

// untrusted is the error of a call that the store does not send, because it does not trust the data.
func untrusted(what string) error {
	return fmt.Errorf("%s: %w", what, stock.ErrShut)
}
