package redisstock

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTrust holds what becomes of a mark that is trusted: effects only grow, those of other data are not mixed in,
// and whoever has vetted a partition may create cells in it from then on, until a vetting refuses it.
func TestTrust(t *testing.T) {
	t.Parallel()
	s, err := New(newSpy(t), Config{Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	m := &s.marks
	want := func(what string, vetted bool, marks ...PartitionMark) {
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
	want("nothing", false, PartitionMark{}, PartitionMark{})
	s.Resume([]PartitionMark{{Nonce: 5, Effects: 7}, {Nonce: 6, Effects: 1}})
	want("resuming", false, PartitionMark{5, 7}, PartitionMark{6, 1})
	m.saw(0, PartitionMark{5, 9})
	m.saw(0, PartitionMark{5, 8}) // an answer that was overtaken
	want("answers out of order", false, PartitionMark{5, 9}, PartitionMark{6, 1})
	m.saw(0, PartitionMark{4, 99})
	want("an answer to a call with another nonce", false, PartitionMark{5, 9}, PartitionMark{6, 1})
	s.Trust([]PartitionMark{{Nonce: 5, Effects: 8}, {}})
	want("a vetting that has read less, and not all", false, PartitionMark{5, 9}, PartitionMark{6, 1})
	creates(true, false)
	s.Distrust([]int{1})
	want("a vetting that has refused the other", true, PartitionMark{5, 9}, PartitionMark{})
	creates(true, false)
	s.Resume([]PartitionMark{{Nonce: 50}, {}})
	want("adopting one partition", true, PartitionMark{50, 0}, PartitionMark{})
	creates(true, false)
	s.Resume([]PartitionMark{{}, {Nonce: 60}})
	want("adopting the one that was refused", false, PartitionMark{50, 0}, PartitionMark{60, 0})
	creates(true, false)
	s.Trust([]PartitionMark{{Nonce: 50}, {Nonce: 60}})
	want("a vetting of both", true, PartitionMark{50, 0}, PartitionMark{60, 0})
	creates(true, true)
}

// TestPartitionMark holds marks to what the scripts pack and compare.
func TestPartitionMark(t *testing.T) {
	t.Parallel()
	const packed = "\x01\x02\x03\x04\x05\x06\x07\x08\xa1\xa2\xa3\xa4\xa5\xa6"
	mark := PartitionMark{Nonce: 0x0102030405060708, Effects: 0xa1a2a3a4a5a6}
	if got := string(mark.append(nil)); got != packed {
		t.Errorf("packed %x, want %x", got, packed)
	}
	if got := partitionMarkFrom(packed); got != mark {
		t.Errorf("read %x, want %x", got, mark)
	}
	f := func(m, seen PartitionMark, want bool) {
		t.Helper()
		if got := m.covers(seen); got != want {
			t.Errorf("%v covers %v: %v", m, seen, got)
		}
	}
	f(PartitionMark{5, 7}, PartitionMark{5, 7}, true)
	f(PartitionMark{5, 8}, PartitionMark{5, 7}, true)
	f(PartitionMark{5, 6}, PartitionMark{5, 7}, false)
	f(PartitionMark{4, 9}, PartitionMark{5, 7}, false)
	f(PartitionMark{}, PartitionMark{}, false)
}
