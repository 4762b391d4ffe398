package batch

import (
	"slices"
	"testing"
)

func TestRounds(t *testing.T) {
	t.Parallel()
	var r rounds
	first, begin := r.join()
	shared, again := r.join()
	if !begin || again || first != shared {
		t.Fatalf("who comes before a round begins shares it: begin %v, %v", begin, again)
	}
	running, from := r.begin()
	if running != first || from != (proven{}) {
		t.Fatalf("the first round begins after %+v", from)
	}
	second, begin := r.join()
	if begin || second == first {
		t.Fatal("who comes while a round runs waits for the next, which begins by itself")
	}
	r.end(from, "5-0")
	if running, from = r.begin(); running != second || from.entry != "5-0" {
		t.Fatalf("the second round begins after %+v", from)
	}
	r.forget()
	r.end(from, "9-0")
	if none, _ := r.begin(); none != nil || r.busy {
		t.Fatal("a round that nobody waits for")
	}
	if _, begin = r.join(); !begin {
		t.Fatal("nobody begins the round after a rest")
	}
	if _, from = r.begin(); from.entry != "" {
		t.Errorf("what was forgotten while a round ran is remembered by its end: %+v", from)
	}
}

func TestPlacing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		names, before []string
		servers       []string
		nodes, moved  []int
	}{
		"one server":              {[]string{"a", "a"}, []string{"", ""}, []string{"a", "a"}, []int{0, 0}, []int{0, 1}},
		"no cluster":              {[]string{"", ""}, []string{"", ""}, []string{"", ""}, []int{0, 0}, nil},
		"several":                 {[]string{"a", "b", "a", "c"}, []string{"a", "b", "a", "c"}, []string{"a", "b", "a", "c"}, []int{0, 1, 0, 2}, nil},
		"one moves":               {[]string{"a", "b", "b"}, []string{"a", "b", "a"}, []string{"a", "b", "b"}, []int{0, 1, 1}, []int{2}},
		"one is not known":        {[]string{"", "b", ""}, []string{"a", "a", "b"}, []string{"a", "b", "b"}, []int{0, 1, 1}, []int{1}},
		"another takes the place": {[]string{"c", "c"}, []string{"a", "a"}, []string{"c", "c"}, []int{0, 0}, []int{0, 1}},
	} {
		got := place(c.names, c.before)
		if !slices.Equal(got.names, c.servers) || !slices.Equal(got.nodes, c.nodes) || !slices.Equal(got.moved, c.moved) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
