package examine_test

import (
	"slices"
	"strings"
	"testing"

	"sluice/core/examine"
)

func TestSentinels(t *testing.T) {
	t.Parallel()
	three := func(s *examine.Sentinels) {
		s.Given = 3
		s.Names("a:1")
		s.Knows("b:1", "slave")
	}
	for name, c := range map[string]struct {
		say     func(*examine.Sentinels)
		up      int
		want    []string // "about: found", in order
		failure bool
	}{
		"in order": {three, 1, nil, false},
		"too few":  {func(s *examine.Sentinels) { three(s); s.Given = 2 }, 1, []string{"Sentinels: only 2 are given"}, false},
		"two primaries": {
			func(s *examine.Sentinels) { three(s); s.Names("a:1"); s.Names("b:1") }, 1,
			[]string{"Sentinels: they name different primaries: a:1, b:1"},
			true,
		},
		"one of them finds the replica down": {
			func(s *examine.Sentinels) { three(s); s.Knows("b:1", "s_down,slave"); s.Knows("b:1", "slave") }, 0,
			[]string{"Redis replica b:1: the Sentinels find it s_down,slave", "Sentinels: the primary has no replica"},
			false,
		},
		"one of them finds the replica cut off": {
			func(s *examine.Sentinels) { three(s); s.Knows("b:1", "slave,disconnected"); s.Knows("b:1", "slave") }, 0,
			[]string{"Redis replica b:1: the Sentinels find it slave,disconnected", "Sentinels: the primary has no replica"},
			false,
		},
		"a replica that is cut off beside another": {
			func(s *examine.Sentinels) { three(s); s.Knows("c:1", "slave,disconnected") }, 1,
			[]string{"Redis replica c:1: the Sentinels find it slave,disconnected"},
			false,
		},
		"nobody answers": {func(s *examine.Sentinels) { s.Given = 3 }, 0, nil, false},
	} {
		var s examine.Sentinels
		c.say(&s)
		var got []string
		failure := false
		for _, r := range s.Risks() {
			got = append(got, r.About+": "+r.Found)
			failure = failure || r.Failure
		}
		same := slices.EqualFunc(got, c.want, strings.HasPrefix)
		if !same || failure != c.failure || len(s.Up()) != c.up {
			t.Errorf("%s: %q, failure is %v, up %v", name, got, failure, s.Up())
		}
	}
}
