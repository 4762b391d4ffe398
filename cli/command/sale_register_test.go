package command

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/registry"
)

// failing registers nobody.
type failing struct{ err error }

func (f failing) Add([]int64) bool               { return false }
func (f failing) Wait() (registry.Result, error) { return registry.Result{}, f.err }

// A load that fails names the line of the file up to which it came, with the header and blank lines counted.
func TestFailedRegistrationNamesItsLine(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	c := &Console{Err: io.Discard}
	load := userLoad{
		c: c, progress: &progress{c: c, now: time.Now},
		load: failing{away},
	}
	err := load.run(strings.NewReader("user_id\n\n5\n\n6\n"))
	if !errors.Is(err, away) || !strings.Contains(err.Error(), "up to line 5:") {
		t.Errorf("%v", err)
	}
}

// The end of a load waits until every edge knows its users, also if MySQL had all of them before.
func TestRegistrationWaitsForEdges(t *testing.T) {
	t.Parallel()
	for asked, want := range map[bool]time.Duration{true: registry.Spread, false: 0} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			load := userLoad{asked: asked}
			if load.awaitEdges(t.Context()); time.Since(begin) != want {
				t.Errorf("asked %v: it took %v, want %v", asked, time.Since(begin), want)
			}
		})
	}
}
