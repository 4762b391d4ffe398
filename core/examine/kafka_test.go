package examine_test

import (
	"strings"
	"testing"

	"sluice/core/examine"
	"sluice/core/outbox"
	"sluice/core/telemetry"
)

func TestCopies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		condition outbox.Condition
		safe      bool
		want      []string // in what is found, in order
	}{
		{outbox.Condition{Copies: 3, InSyncMin: 2}, true, nil},
		{outbox.Condition{Copies: 3, InSyncMin: 2, Lagging: 4}, true, []string{"4 partitions have copies that lag"}},
		{outbox.Condition{Copies: 3}, false, []string{"cannot tell"}},
		{outbox.Condition{Copies: 1, InSyncMin: 1}, false, []string{"one copy only"}},
		{outbox.Condition{Copies: 2, InSyncMin: 1, Lagging: 1}, false, []string{"1 partitions", "one of 2 copies is enough"}},
		{outbox.Condition{Copies: 3, InSyncMin: 3, Faults: []telemetry.Fault{{Word: "min_insync"}}}, false, nil},
	} {
		faults, safe := examine.Copies(&c.condition)
		if safe != c.safe || len(faults) != len(c.want) {
			t.Errorf("%+v: %v", c.condition, faults)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(faults[i].Found, want) || faults[i].Do == "" {
				t.Errorf("%+v: %v, want %q", c.condition, faults[i], want)
			}
		}
	}
}
