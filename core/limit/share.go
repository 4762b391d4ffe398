package limit

import (
	"cmp"
	"slices"
	"time"
)

// dueMax bounds the keys of one stripe that wait to be told. A key that finds no room waits for its next request.
const dueMax = 256

// Taken says how many tokens of a key's bucket were taken.
type Taken struct {
	ID     uint64
	Tokens int64
}

// Among says how many edges share the limit. It follows from what a limiter tells and hears, so it may be wrong for a
// moment.
func (l *Limiter[K]) Among(edges int) {
	if l != nil {
		l.terms.Store(termsOf(l.cfg, edges))
	}
}

// enqueue notes a key that has tokens to tell. The caller has locked the stripe.
func (l *Limiter[K]) enqueue(s *stripe, id uint64, b *bucket) {
	if len(s.due) >= dueMax {
		return
	}
	s.due = append(s.due, id)
	b.due = true
	select {
	case l.cfg.Wake <- struct{}{}:
	default:
	}
}

// Tell appends to dst what other edges should know, at most limit keys: those that took most. Whoever calls it must bring it to
// the others, because it is not told twice. untold is the number of tokens that found no room, and that the others never
// learn of.
func (l *Limiter[K]) Tell(dst []Taken, limit int) (told []Taken, untold int64) {
	if l == nil {
		return dst, 0
	}
	all := dst
	for i := range l.stripes {
		all = l.stripes[i].tell(all)
	}
	mine := all[len(dst):]
	if len(mine) <= limit {
		return all, 0
	}
	slices.SortFunc(mine, func(a, b Taken) int { return cmp.Compare(b.Tokens, a.Tokens) })
	for _, t := range mine[limit:] {
		untold += t.Tokens
	}
	return all[:len(dst)+limit], untold
}

func (s *stripe) tell(dst []Taken) []Taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.due {
		b := s.young[id]
		if b == nil {
			b = s.old[id]
		}
		if b == nil {
			continue // forgotten since
		}
		if tokens := b.tell(); tokens > 0 {
			dst = append(dst, Taken{ID: id, Tokens: tokens})
		}
	}
	s.due = s.due[:0]
	return dst
}

// Learn takes tokens that another edge let pass from the bucket of their key.
func (l *Limiter[K]) Learn(t Taken, now time.Time) {
	if l == nil {
		return
	}
	terms, s := l.terms.Load(), l.stripe(t.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := l.bucket(s, t.ID, terms, now)
	b.learn(terms, float64(t.Tokens), now)
	if !b.due && b.worthTelling(terms) {
		l.enqueue(s, t.ID, b)
	}
}
