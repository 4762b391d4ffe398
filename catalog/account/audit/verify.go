package audit

import (
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
	KindUnordered = "unordered" // of exports only: an entry comes after a later one, or twice
)

// findingsMax bounds how many findings are kept. More of them are counted.
const findingsMax = 1000

// Checker follows chains from their first entries. It knows nothing of where they are from: entries come in, chain by chain, in
// their order. It keeps the furthest checkpoint of each chain, and the findings.
type Checker struct {
	marks   map[Chain]Head
	seen    map[Chain]bool
	found   []Finding
	count   int64
	entries int64
	at      Head // the last entry that was seen, of the chain that has begun
	began   bool
}

// NewChecker makes a checker without checkpoints.
func NewChecker() *Checker { return &Checker{marks: map[Chain]Head{}, seen: map[Chain]bool{}} }

// Mark notes what a checkpoint says of a chain. The furthest one of each chain is enough: whoever writes a chain anew from some
// entry on changes the hashes of all entries behind it. Marks come before entries.
func (c *Checker) Mark(h Head) {
	if h.N > c.marks[h.Chain].N {
		c.marks[h.Chain] = h
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
	c.at, c.began = Head{Chain: chain}, true
	if c.seen[chain] {
		c.find(1, KindUnordered, "the chain is there twice")
	}
	c.seen[chain] = true
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
	if mark := c.marks[e.Chain]; mark.N == e.N && mark.Hash != e.Hash {
		c.find(e.N, KindReplaced, "a checkpoint has seen another entry here: the chain was written anew from here, or from before")
	}
}

// End ends the last chain, and looks for chains of checkpoints that were not there at all.
func (c *Checker) End() {
	c.endChain()
	for _, chain := range slices.Sorted(maps.Keys(c.marks)) {
		if !c.seen[chain] {
			c.at, c.began = Head{Chain: chain}, true
			c.endChain()
		}
	}
}

func (c *Checker) endChain() {
	if mark := c.marks[c.at.Chain]; c.began && mark.N > c.at.N {
		c.find(c.at.N+1, KindCut, "the chain ends at %d, and a checkpoint has seen %d", c.at.N, mark.N)
	}
	c.began = false
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
