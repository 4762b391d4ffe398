package audit

import (
	"fmt"
	"slices"
	"testing"

	"sluice/core/shard"
)

// chains are three chains of ten entries, as they were written.
func chains() (all []Entry, heads []Head) {
	for _, user := range []uint16{1, 2, 3} {
		var before Hash
		for n := uint64(1); n <= 10; n++ {
			e := entry()
			e.Chain, e.N, e.Why = ChainOf(shard.Shard{Kind: shard.Users, Number: user}), n, fmt.Sprintf("reason %d", n)
			e.Hash = e.follow(before)
			before = e.Hash
			all = append(all, e)
		}
		heads = append(heads, Head{all[len(all)-1].Chain, 10, before})
	}
	return all, heads
}

// TestVerificationFindsWhatWasDone has all that somebody with access to the rows can do to the second of three chains.
func TestVerificationFindsWhatWasDone(t *testing.T) {
	t.Parallel()
	// rehash makes all hashes of the second chain right again, from an entry on.
	rehash := func(rows []Entry, from uint64) []Entry {
		var before Hash
		for i := range rows {
			if rows[i].N >= from {
				rows[i].Hash = rows[i].follow(before)
			}
			before = rows[i].Hash
		}
		return rows
	}
	forged := func() Entry {
		e := entry()
		e.Chain, e.N, e.Why = ChainOf(shard.Shard{Kind: shard.Users, Number: 2}), 4, "forged"
		return e
	}
	type finding struct {
		n    uint64
		kind string
	}
	for name, c := range map[string]struct {
		edit          func(rows []Entry) []Entry
		alone, marked []finding // without checkpoints, and with one of every end
	}{
		"nothing": {edit: func(rows []Entry) []Entry { return rows }},
		"a changed reason": {
			func(rows []Entry) []Entry { rows[3].Why = "another"; return rows },
			[]finding{{4, KindChanged}},
			[]finding{{4, KindChanged}},
		},
		"a changed reason with its hash": {
			func(rows []Entry) []Entry {
				rows[3].Why = "another"
				rows[3].Hash = rows[3].follow(rows[2].Hash)
				return rows
			},
			[]finding{{5, KindChanged}},
			[]finding{{5, KindChanged}},
		},
		"a chain written anew from an entry on": {
			func(rows []Entry) []Entry { rows[3].Why = "another"; return rehash(rows, 4) },
			nil,
			[]finding{{10, KindReplaced}},
		},
		"a removed entry": {
			func(rows []Entry) []Entry { return slices.Delete(rows, 3, 5) },
			[]finding{{4, KindMissing}},
			[]finding{{4, KindMissing}},
		},
		"a removed entry, and the others closed up": {
			func(rows []Entry) []Entry {
				rows = slices.Delete(rows, 3, 4)
				for i := range rows[3:] {
					rows[3+i].N--
				}
				return rows
			},
			[]finding{{4, KindChanged}, {5, KindChanged}, {6, KindChanged}, {7, KindChanged}, {8, KindChanged}, {9, KindChanged}},
			[]finding{{4, KindChanged}, {5, KindChanged}, {6, KindChanged}, {7, KindChanged}, {8, KindChanged}, {9, KindChanged}, {10, KindCut}},
		},
		"an inserted entry, and the others moved": {
			func(rows []Entry) []Entry {
				for i := range rows[3:] {
					rows[3+i].N++
				}
				return rehash(slices.Insert(rows, 3, forged()), 4)
			},
			nil,
			[]finding{{10, KindReplaced}},
		},
		"an entry behind the last one": {
			func(rows []Entry) []Entry { e := forged(); e.N = 11; return append(rows, e) },
			[]finding{{11, KindChanged}},
			[]finding{{11, KindChanged}},
		},
		"two entries that changed places": {
			func(rows []Entry) []Entry {
				rows[3], rows[4] = rows[4], rows[3]
				rows[3].N, rows[4].N = 4, 5
				return rows
			},
			[]finding{{4, KindChanged}, {5, KindChanged}, {6, KindChanged}},
			[]finding{{4, KindChanged}, {5, KindChanged}, {6, KindChanged}},
		},
		"two entries in another order": { // an export's
			func(rows []Entry) []Entry { rows[3], rows[4] = rows[4], rows[3]; return rows },
			[]finding{{4, KindMissing}, {4, KindUnordered}},
			[]finding{{4, KindMissing}, {4, KindUnordered}},
		},
		"an entry that is there twice": {
			func(rows []Entry) []Entry { return slices.Insert(rows, 3, rows[2]) },
			[]finding{{3, KindUnordered}},
			[]finding{{3, KindUnordered}},
		},
		"an entry of another chain": {
			func(rows []Entry) []Entry {
				others, _ := chains()
				rows[3] = others[3]
				rows[3].Chain = rows[2].Chain
				return rows
			},
			[]finding{{4, KindChanged}, {5, KindChanged}},
			[]finding{{4, KindChanged}, {5, KindChanged}},
		},
		"a cut end": {
			func(rows []Entry) []Entry { return rows[:7] },
			nil,
			[]finding{{8, KindCut}},
		},
		"a cut beginning": {
			func(rows []Entry) []Entry { return rows[3:] },
			[]finding{{1, KindMissing}},
			[]finding{{1, KindMissing}},
		},
		"a chain that is gone": {
			func([]Entry) []Entry { return nil },
			nil,
			[]finding{{1, KindCut}},
		},
	} {
		for _, marked := range []bool{false, true} {
			rows, heads := chains()
			rows = slices.Concat(rows[:10], c.edit(slices.Clone(rows[10:20])), rows[20:])
			checker, want := NewChecker(), c.alone
			if marked {
				want = c.marked
				for _, h := range heads {
					checker.Mark(h)
				}
				written, _ := chains()
				for _, e := range written { // all of them before what is edited
					if e.N == 2 {
						checker.Mark(Head{e.Chain, e.N, e.Hash})
					}
				}
			}
			for i := range rows {
				checker.Entry(&rows[i])
			}
			checker.End()
			var got []finding
			for _, f := range checker.Findings() {
				if f.Chain != ChainOf(shard.Shard{Kind: shard.Users, Number: 2}) {
					t.Errorf("%s: a finding about another chain: %+v", name, f)
				}
				got = append(got, finding{f.N, f.Kind})
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, with checkpoints %v: %v, want %v", name, marked, got, want)
			}
			if entries, _, count := checker.Counts(); entries != int64(len(rows)) || count != int64(len(got)) {
				t.Errorf("%s: %d entries and %d findings are counted, want %d and %d", name, entries, count, len(rows), len(got))
			}
		}
	}
}

// TestFindingsAreBounded: a log of nothing but faults takes no more memory than another one.
func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	c := NewChecker()
	e := entry()
	for n := range uint64(5 * findingsMax) {
		e.N = n + 1
		c.Entry(&e)
	}
	if _, _, count := c.Counts(); count != 5*findingsMax || len(c.Findings()) != findingsMax {
		t.Errorf("%d findings are counted and %d kept", count, len(c.Findings()))
	}
}

// TestRewrittenChainsStayFound writes a chain anew from an entry on. Checkpoints that are made behind that agree with it, and those
// from before do not.
func TestRewrittenChainsStayFound(t *testing.T) {
	t.Parallel()
	rows, _ := chains()
	rows = rows[:10]
	before := slices.Clone(rows)
	rows[3].Why = "another"
	for i := range rows[3:] {
		rows[3+i].Hash = rows[3+i].follow(rows[2+i].Hash)
	}
	head := func(e Entry) Head { return Head{e.Chain, e.N, e.Hash} }
	for name, c := range map[string]struct {
		marks []Head
		end   int
		want  string
	}{
		"one of before, and one of behind": {[]Head{head(before[4]), head(rows[9])}, 10, "5 replaced, "},
		"in another order, and twice":      {[]Head{head(rows[9]), head(before[4]), head(rows[9]), head(before[4])}, 10, "5 replaced, "},
		"several of before":                {[]Head{head(before[1]), head(before[4]), head(before[6]), head(rows[9])}, 10, "5 replaced, "},
		"of before the fault":              {[]Head{head(before[1]), head(rows[9])}, 10, ""},
		"two that differ":                  {[]Head{head(before[4]), head(rows[4]), head(rows[9])}, 10, "5 forked, "},
		"two that differ, of a cut end":    {[]Head{head(before[6]), head(rows[6])}, 6, "7 cut, 7 forked, "},
		"two that differ, of no chain":     {[]Head{head(before[6]), head(rows[6])}, 0, "1 cut, 7 forked, "},
	} {
		checker := NewChecker()
		for _, h := range c.marks {
			checker.Mark(h)
		}
		for i := range rows[:c.end] {
			checker.Entry(&rows[i])
		}
		checker.End()
		got := ""
		for _, f := range checker.Findings() {
			got += fmt.Sprintf("%d %s, ", f.N, f.Kind)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
