package screen

import (
	"fmt"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/edge/cells"
)

// kept is a snapshot of every partition.
type kept string

func (k kept) Load(string, uint32) ([]byte, bool) { return []byte(k), true }

func (kept) Save(string, uint32, []byte, time.Duration) error { return nil }

// TestSnapshotWithoutItsBits: the library reads filters whose bits are fewer than they say, or none. Such a one would
// end the process, or refuse SKUs that are there.
func TestSnapshotWithoutItsBits(t *testing.T) {
	t.Parallel()
	for bits, whole := range map[string]bool{
		`{"m":64,"k":3,"b":"AAAAAAAAAEAAAAAAAAAAAA=="}`: true,
		`null`:                             false,
		`{}`:                               false,
		`{"m":1000,"k":3,"b":null}`:        false,
		`{"m":0,"k":3,"b":"AAAAAAAAAAA="}`: false,
		`{"m":64,"k":0,"b":"AAAAAAAAAEAAAAAAAAAAAA=="}`:   false,
		`{"m":1000,"k":3,"b":"AAAAAAAAAEAAAAAAAAAAAA=="}`: false,
	} {
		c := newCatalog()
		snapshot := kept(fmt.Sprintf(`{"deployment":"a","partitions":%d,"holds":1,"bits":%s}`, partitions, bits))
		k := NewKnown(c, cells.New(c, cells.Config{}, metrics.NewSet()), KnownConfig{Deployment: "a", Snapshots: snapshot}, metrics.NewSet())
		if err := k.restore(0); (err == nil) != whole {
			t.Errorf("%s: %v", bits, err)
		}
	}
}
