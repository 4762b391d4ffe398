package edge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/edge/localstore"
)

const (
	marksKey     = "marks"
	marksVersion = 1

	// marksEvery bounds how much an edge forgets if it is killed.
	marksEvery = 10 * time.Second
)

// markKeeper keeps the marks that an edge trusts over its restarts. So a restarted edge sells at once, even while MySQL
// and Kafka are away, and still notices if Redis was set back meanwhile.
type markKeeper struct {
	store      *redisstock.Store
	local      *localstore.Store
	nonces     stock.Nonces // gets the marks too, for processes that adopt data which they have not seen
	deployment string
	log        *slog.Logger

	telling *lifecycle.Trouble
	keeping sync.Mutex
}

// keptMarks are the record.
type keptMarks struct {
	Deployment string       `json:"deployment"`
	Marks      []stock.Mark `json:"marks"` // by partition
}

// newMarkKeeper makes a keeper, and makes the store trust the marks that the last run of this edge trusted.
func newMarkKeeper(store *redisstock.Store, local *localstore.Store, nonces stock.Nonces, deployment string, log *slog.Logger) *markKeeper {
	k := &markKeeper{
		store: store, local: local, nonces: nonces, deployment: deployment, log: log,
		telling: lifecycle.NewTrouble(log, "write down how far Redis' data have grown"),
	}
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
	for lifecycle.Pause(ctx, marksEvery) {
		k.keep()
		k.tell(ctx)
	}
}

// tell reports the marks to MySQL. It waits for MySQL, and nobody waits for it.
func (k *markKeeper) tell(ctx context.Context) {
	if err := k.store.KeepMarks(ctx, k.nonces); ctx.Err() == nil {
		k.telling.Saw(err)
	}
}

// keep saves the marks for the next start. If the local store does not take them, it has none: the next start then
// begins with a vetting rather than with old marks. The store reports its trouble itself.
func (k *markKeeper) keep() {
	k.keeping.Lock() // otherwise older marks could overwrite newer ones
	defer k.keeping.Unlock()
	data, err := json.Marshal(keptMarks{Deployment: k.deployment, Marks: k.store.Marks()})
	if err == nil {
		err = k.local.Save(marksKey, marksVersion, data, 0)
	}
	if err != nil {
		k.log.Debug("marks not kept for the next start", "error", err)
	}
}
