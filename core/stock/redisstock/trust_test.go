package redisstock

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// TestTrust follows a trusted mark: its effects only grow, effects of other data do not count, and a process that has
// vetted a partition may create cells in it until a vetting refuses the partition.
func TestTrust(t *testing.T) {
	t.Parallel()
	s, err := New(newSpy(t), Config{Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	m := &s.marks
	want := func(what string, vetted bool, marks ...stock.Mark) {
		t.Helper()
		if diff := cmp.Diff(marks, m.all()); diff != "" || s.Vetted() != vetted {
			t.Errorf("after %s vetted is %v, want %v, and trusted is (-want +got):\n%s", what, s.Vetted(), vetted, diff)
		}
	}
	creates := func(want ...bool) {
		t.Helper()
		if diff := cmp.Diff(want, []bool{m.mayCreate(0), m.mayCreate(1)}); diff != "" {
			t.Errorf("cells may be created in (-want +got):\n%s", diff)
		}
	}
	want("nothing", false, stock.Mark{}, stock.Mark{})
	s.Resume([]stock.Mark{{Nonce: 5, Effects: 7}, {Nonce: 6, Effects: 1}})
	want("resuming", false, stock.Mark{Nonce: 5, Effects: 7}, stock.Mark{Nonce: 6, Effects: 1})
	m.saw(0, stock.Mark{Nonce: 5, Effects: 9})
	m.saw(0, stock.Mark{Nonce: 5, Effects: 8}) // an answer that was overtaken
	want("answers out of order", false, stock.Mark{Nonce: 5, Effects: 9}, stock.Mark{Nonce: 6, Effects: 1})
	m.saw(0, stock.Mark{Nonce: 4, Effects: 99})
	want("an answer to a call with another nonce", false, stock.Mark{Nonce: 5, Effects: 9}, stock.Mark{Nonce: 6, Effects: 1})
	s.Trust([]stock.Mark{{Nonce: 5, Effects: 8}, {}})
	want("a vetting that has read less, and not all", false, stock.Mark{Nonce: 5, Effects: 9}, stock.Mark{Nonce: 6, Effects: 1})
	creates(true, false)
	s.Distrust([]int{1})
	want("a vetting that has refused the other", true, stock.Mark{Nonce: 5, Effects: 9}, stock.Mark{})
	creates(true, false)
	s.Resume([]stock.Mark{{Nonce: 50}, {}})
	want("adopting one partition", true, stock.Mark{Nonce: 50, Effects: 0}, stock.Mark{})
	creates(true, false)
	s.Resume([]stock.Mark{{}, {Nonce: 60}})
	want("adopting the one that was refused", false, stock.Mark{Nonce: 50, Effects: 0}, stock.Mark{Nonce: 60, Effects: 0})
	creates(true, false)
	s.Trust([]stock.Mark{{Nonce: 50}, {Nonce: 60}})
	want("a vetting of both", true, stock.Mark{Nonce: 50, Effects: 0}, stock.Mark{Nonce: 60, Effects: 0})
	creates(true, true)
}

// TestMark compares marks with those that the scripts pack and compare.
func TestMark(t *testing.T) {
	t.Parallel()
	const packed = "\x01\x02\x03\x04\x05\x06\x07\x08\xa1\xa2\xa3\xa4\xa5\xa6"
	mark := stock.Mark{Nonce: 0x0102030405060708, Effects: 0xa1a2a3a4a5a6}
	if got := string(appendMark(nil, mark)); got != packed {
		t.Errorf("packed %x, want %x", got, packed)
	}
	if got := markFrom(packed); got != mark {
		t.Errorf("read %x, want %x", got, mark)
	}
	f := func(m, seen stock.Mark, want bool) {
		t.Helper()
		if got := m.Covers(seen); got != want {
			t.Errorf("%v covers %v: %v", m, seen, got)
		}
	}
	f(stock.Mark{Nonce: 5, Effects: 7}, stock.Mark{Nonce: 5, Effects: 7}, true)
	f(stock.Mark{Nonce: 5, Effects: 8}, stock.Mark{Nonce: 5, Effects: 7}, true)
	f(stock.Mark{Nonce: 5, Effects: 6}, stock.Mark{Nonce: 5, Effects: 7}, false)
	f(stock.Mark{Nonce: 4, Effects: 9}, stock.Mark{Nonce: 5, Effects: 7}, false)
	f(stock.Mark{}, stock.Mark{}, false)
}
