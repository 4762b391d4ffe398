package audit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// Finding is one place where the log is not as it was written.
type Finding struct {
	Chain Chain  `json:"chain"`
	N     uint64 `json:"n"` // of the entry at fault, or the first of those that are missing
	Kind  string `json:"kind"`
	Says  string `json:"says"`
}

// The kinds of findings.
const (
	KindChanged   = "changed"   // an entry does not follow from the one before it: it was changed, inserted or moved
	KindMissing   = "missing"   // entries of a chain are not there
	KindCut       = "cut"       // a chain ends before a checkpoint of it
	KindReplaced  = "replaced"  // a checkpoint has seen another entry at this place
	KindForked    = "forked"    // two checkpoints have seen different entries at one place
	KindUnordered = "unordered" // of exports only: an entry comes after a later one, or twice
)

// findingsMax bounds how many findings are kept. More of them are counted.
const findingsMax = 1000

// Checker follows chains from their first entries. It knows nothing of where they are from: entries come in, chain by chain, in
// their order. It keeps the heads of all checkpoints until their chain has ended, and the findings.
type Checker struct {
	marks   map[Chain][]mark
	seen    map[Chain]bool
	found   []Finding
	count   int64
	entries int64
	at      Head // the last entry that was seen, of the chain that has begun
	began   bool
	ahead   []mark // what checkpoints say of the chain behind the last entry, in its order
	apart   bool   // the last checkpoint that was compared has seen another entry
}

// mark is what a checkpoint says of a chain.
type mark struct {
	n    uint64
	hash Hash
}

// NewChecker makes a checker without checkpoints.
func NewChecker() *Checker { return &Checker{marks: map[Chain][]mark{}, seen: map[Chain]bool{}} }

// Mark notes what a checkpoint says of a chain, in any order. Each one counts: a checkpoint that was made after a chain was
// written anew says the same as the chain, and only the ones before it do not. Marks come before entries.
func (c *Checker) Mark(h Head) {
	if h.N > 0 {
		c.marks[h.Chain] = append(c.marks[h.Chain], mark{h.N, h.Hash})
	}
}

// Findings are what was found, the first ones of them.
func (c *Checker) Findings() []Finding { return c.found }

// Counts are the numbers of entries, chains and findings so far.
func (c *Checker) Counts() (entries, chains, findings int64) {
	return c.entries, int64(len(c.seen)), c.count
}

func (c *Checker) find(n uint64, kind, says string, values ...any) {
	c.count++
	if len(c.found) < findingsMax {
		c.found = append(c.found, Finding{Chain: c.at.Chain, N: n, Kind: kind, Says: fmt.Sprintf(says, values...)})
	}
}

// Begin begins a chain.
func (c *Checker) Begin(chain Chain) {
	c.endChain()
	c.start(chain)
	if c.seen[chain] {
		c.find(1, KindUnordered, "the chain is there twice")
	}
	c.seen[chain] = true
}

// start brings what checkpoints say of a chain into its order, each once.
func (c *Checker) start(chain Chain) {
	c.at, c.began, c.apart = Head{Chain: chain}, true, false
	c.ahead = c.marks[chain]
	slices.SortFunc(c.ahead, func(a, b mark) int { return cmp.Or(cmp.Compare(a.n, b.n), bytes.Compare(a.hash[:], b.hash[:])) })
	c.ahead = slices.Compact(c.ahead)
}

// Entry looks at the next entry of the chain.
func (c *Checker) Entry(e *Entry) {
	if !c.began || e.Chain != c.at.Chain {
		c.Begin(e.Chain)
	}
	c.entries++
	switch {
	case e.N <= c.at.N:
		c.find(e.N, KindUnordered, "it comes behind entry %d", c.at.N)
		return
	case e.N != c.at.N+1:
		c.find(c.at.N+1, KindMissing, "entries %d to %d are not there", c.at.N+1, e.N-1)
	case e.follow(c.at.Hash) != e.Hash:
		c.find(e.N, KindChanged, "it does not follow from the entry before it: it was changed, inserted or moved")
	}
	// Behind a fault the chain goes on from what is there, so that one fault is one finding.
	c.at.N, c.at.Hash = e.N, e.Hash
	for len(c.ahead) > 0 && c.ahead[0].n <= e.N {
		seen, forked := c.next()
		switch {
		case forked:
			c.apart = true
		case seen.n == e.N && seen.hash == e.Hash:
			c.apart = false
		case seen.n == e.N && !c.apart: // those that follow and differ too see the same fault
			c.apart = true
			c.find(e.N, KindReplaced, "a checkpoint has seen another entry here: the chain was written anew from here, or from before")
		}
	}
}

// next takes what checkpoints say of the next place of the chain, and finds out if two of them say different things.
func (c *Checker) next() (seen mark, forked bool) {
	seen = c.ahead[0]
	for c.ahead = c.ahead[1:]; len(c.ahead) > 0 && c.ahead[0].n == seen.n; c.ahead = c.ahead[1:] {
		forked = true
	}
	if forked {
		c.find(seen.n, KindForked, "two checkpoints have seen different entries here: the chain was written anew between them")
	}
	return seen, forked
}

// End ends the last chain, and looks for chains of checkpoints that were not there at all.
func (c *Checker) End() {
	c.endChain()
	for _, chain := range slices.Sorted(maps.Keys(c.marks)) {
		if !c.seen[chain] {
			c.start(chain)
			c.endChain()
		}
	}
}

func (c *Checker) endChain() {
	if !c.began {
		return
	}
	if last := len(c.ahead) - 1; last >= 0 {
		c.find(c.at.N+1, KindCut, "the chain ends at %d, and a checkpoint has seen %d", c.at.N, c.ahead[last].n)
	}
	for len(c.ahead) > 0 {
		c.next()
	}
	c.began = false
	delete(c.marks, c.at.Chain)
}

// Verify checks all chains of a log. Progress is called after each page.
func (r *Reader) Verify(ctx context.Context, c *Checker, progress func()) error {
	err := r.Walk(ctx, func(end Head) error {
		c.Begin(end.Chain)
		return nil
	}, func(e *Entry) error {
		c.Entry(e)
		if e.N%pageRows == 0 {
			progress()
		}
		return nil
	})
	if err == nil {
		c.End()
	}
	return err
}
