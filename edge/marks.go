package edge

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/stock/redisstock"
	"sluice/edge/localstore"
)

const (
	marksKey     = "marks"
	marksVersion = 1

	// marksEvery bounds what an edge that is killed has seen and does not know at its next start.
	marksEvery = 10 * time.Second
)

// markKeeper keeps the marks that an edge trusts over its restarts, so that it sells at once, also while MySQL
// and Kafka are away, and still notices that Redis was set back meanwhile.
type markKeeper struct {
	store      *redisstock.Store
	local      *localstore.Store
	deployment string
	log        *slog.Logger
}

// keptMarks are the record.
type keptMarks struct {
	Deployment string                     `json:"deployment"`
	Marks      []redisstock.PartitionMark `json:"marks"` // by partition
}

// newMarkKeeper resumes what the last run of this edge trusted.
func newMarkKeeper(store *redisstock.Store, local *localstore.Store, deployment string, log *slog.Logger) *markKeeper {
	k := &markKeeper{store: store, local: local, deployment: deployment, log: log}
	data, ok := local.Load(marksKey, marksVersion)
	if !ok {
		return k
	}
	var kept keptMarks
	if err := json.Unmarshal(data, &kept); err != nil || kept.Deployment != deployment || len(kept.Marks) != store.Partitions() {
		log.Warn("marks kept by the last run ignored: unreadable, or of another deployment", "deployment", kept.Deployment, "error", err)
		return k
	}
	store.Resume(kept.Marks)
	return k
}

// run keeps the marks until ctx ends.
func (k *markKeeper) run(ctx context.Context) {
	tick := time.NewTicker(marksEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.keep()
		case <-ctx.Done():
			return
		}
	}
}

func (k *markKeeper) keep() {
	data, err := json.Marshal(keptMarks{Deployment: k.deployment, Marks: k.store.Marks()})
	if err == nil {
		err = k.local.Save(marksKey, marksVersion, data, 0)
	}
	if err != nil {
		k.log.Warn("marks not kept for the next start", "error", err)
	}
}
