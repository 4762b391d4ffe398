// Package restore writes partitions of Redis anew from MySQL and Kafka if Redis holds nothing of them, or has lost
// one of their keys. It changes only partitions that are shut. Before anybody sells from them, a vetting compares the
// result with MySQL and Kafka. Any number of processes may restore at once.
package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
)

const (
	parallelDefault = 4
	progressEvery   = time.Second
	keepEvery       = redisstock.RestorerTTL / 5
	waitEvery       = 300 * time.Millisecond // between two looks at how far persisters are
	openEvery       = 5                      // while partitions are being restored, the pause between two vettings is so many times as long as a vetting
	openParts       = 8                      // and at least this part of the partitions is new
)

// ErrForeign means that MySQL has the ledger of another deployment.
var ErrForeign = errors.New("mysql has the ledger of another deployment")

// foreign returns the error about a reservation whose id has another partition than its cell.
func foreign(id stock.ReservationID, partitions int) error {
	return fmt.Errorf("%w, or of one with another number of partitions: the reservation %v is of partition %d there, and its stock is in another one of %d "+
		"here: set --partitions and SLUICE_MYSQL_DSN to those of the deployment", ErrForeign, id, id.Partition(), partitions)
}

// Restore is how a deployment is restored.
type Restore struct {
	Vetting vetting.Vetter
	Store   *redisstock.Store
	// Open vets Redis and opens what is sound, each time some partitions are restored.
	Open func(context.Context) error
	// Progress is called with the progress of the restore. It may be nil.
	Progress func(Progress)
	// Parallel is how many partitions are restored at once. Defaults to 4. Each takes a connection to MySQL.
	Parallel int
}

// Progress is how far a restore has come.
type Progress struct {
	Waiting    int64 // messages of Kafka that persisters have to bring to MySQL first; 0: the restore has begun
	Done       int   // partitions
	Partitions int
	Cells      int64 // restored
	CellsAll   int64
	Records    int64 // records of reservations, deductions and adjustments that were restored
	Events     int64 // events read from the ledger
}

// Plan says what a restore would do.
type Plan struct {
	redisstock.Losses

	Partitions []int // to restore
	Cells      int64 // cells that MySQL has of these partitions
	Waiting    int64 // messages that persisters have to bring to MySQL first
}

// Report says what a restore has done.
type Report struct {
	Progress

	Busy    []int           // partitions that another process restores
	Refused map[int]string  // by partition: why nothing was done about it
	Lost    map[int][]*Loss // by partition: what nobody knows any more
}

// Loss says what a cell has lost because events are missing in the ledger.
type Loss struct {
	Cell    stock.Cell
	Events  uint64 // that nobody has
	Units   int64  // at most so many units have reservations that nobody can name
	Revoked int    // number of holds that no longer fit
}

// Plan finds out what a restore would do, and changes nothing. The error wraps redisstock.ErrVetting if this Redis
// cannot be restored at all.
func (r *Restore) Plan(ctx context.Context) (Plan, error) {
	found, err := r.Vetting.Losses(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Losses: found, Partitions: found.Partitions(r.Vetting.Stock.Partitions)}
	if len(p.Partitions) == 0 {
		return p, nil
	}
	// A database may not know the number of partitions yet. Its ids do.
	id, err := ledger.New(r.Vetting.DB, nil).ForeignID(ctx, r.Vetting.Stock.Partitions)
	if err != nil {
		return Plan{}, err
	}
	if id != nil {
		return Plan{}, foreign(*id, r.Vetting.Stock.Partitions)
	}
	if p.Cells, err = r.count(ctx, p.Partitions); err != nil {
		return Plan{}, err
	}
	topic := r.topic()
	defer topic.Close()
	unread, err := topic.Unread(ctx, r.Vetting.Kafka.Group)
	if err != nil {
		return Plan{}, err
	}
	p.Waiting = left(unread, ends(unread))
	return p, nil
}

// count counts the cells that MySQL has of some partitions.
func (r *Restore) count(ctx context.Context, partitions []int) (n int64, err error) {
	if len(partitions) == r.Vetting.Stock.Partitions {
		return ledger.New(r.Vetting.DB, nil).CountCells(ctx)
	}
	cells, err := r.cells(ctx, partitions)
	for _, some := range cells {
		n += int64(len(some))
	}
	return n, err
}

func (r *Restore) topic() *outbox.Topic {
	return outbox.NewTopic(r.Vetting.Kafka.Brokers, r.Vetting.Kafka.Topic)
}

// cellAt is a cell with its position in the stock table.
type cellAt struct {
	stock.Cell
	stock.Position
}

// cells reads the cells that MySQL has of some partitions, in the order of the ledger.
func (r *Restore) cells(ctx context.Context, partitions []int) (map[int][]cellAt, error) {
	cells := make(map[int][]cellAt, len(partitions))
	for _, p := range partitions {
		cells[p] = nil
	}
	err := ledger.New(r.Vetting.DB, nil).StockPositions(ctx, func(c stock.Cell, at stock.Position) error {
		p := c.Partition(r.Vetting.Stock.Partitions)
		if some, wanted := cells[p]; wanted {
			cells[p] = append(some, cellAt{c, at})
		}
		return nil
	})
	return cells, err
}

// run is one run of a restore.
type run struct {
	*Restore

	restorer *redisstock.Restorer
	books    *ledger.Reader
	topic    *outbox.Topic
	plan     Plan
	cells    map[int][]cellAt

	buyersMax int

	waiting, cellsDone, records, events atomic.Int64

	mu      sync.Mutex
	report  Report
	claimed map[int]bool // partitions whose claim keep renews
}

// newRun begins to carry out a plan. The caller closes the topic.
func (r *Restore) newRun(ctx context.Context, plan Plan) (*run, error) {
	w := &run{Restore: r, plan: plan, buyersMax: buyersMax, claimed: map[int]bool{}, books: ledger.New(r.Vetting.DB, nil), topic: r.topic()}
	w.report = Report{Refused: map[int]string{}, Lost: map[int][]*Loss{}}
	w.report.Partitions = len(plan.Partitions)
	database, err := evidence.NewNonces(r.Vetting.DB).Identity(ctx)
	if err == nil {
		err = database.Refuses(r.Vetting.Stock.Deployment, r.Vetting.Stock.Partitions)
	}
	if err == nil {
		s := r.Vetting.Stock
		w.restorer, err = redisstock.NewRestorer(r.Vetting.Client, s.Partitions, s.Deployment, database.ID, s.Retention)
	}
	if err != nil {
		w.topic.Close()
		return nil, err
	}
	return w, nil
}

// Run carries out a plan. The error joins all trouble. Finished partitions stay finished, and the next run goes on.
func (r *Restore) Run(ctx context.Context, plan Plan) (Report, error) {
	w, err := r.newRun(ctx, plan)
	if err != nil {
		return Report{}, err
	}
	defer w.topic.Close()
	if len(plan.Torn) > 0 { // first stop everybody from going on with the rest of them
		if err := r.Open(ctx); err != nil && !errors.Is(err, redisstock.ErrVetting) {
			return w.report, err
		}
	}
	telling, stop := context.WithCancel(ctx)
	defer stop()
	go w.tell(telling)
	go w.keep(telling)
	if err := w.prepare(ctx); err != nil {
		return w.report, err
	}
	err = w.all(ctx)
	w.report.Progress = w.progress()
	return w.report, err
}

// tell reports progress until ctx ends.
func (w *run) tell(ctx context.Context) {
	if w.Progress == nil {
		return
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.Progress(w.progress())
		}
	}
}

func (w *run) progress() Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.report.Progress
	p.Waiting, p.Cells, p.Records, p.Events = w.waiting.Load(), w.cellsDone.Load(), w.records.Load(), w.events.Load()
	return p
}

// keep renews the claims on partitions until ctx ends, whatever the run waits for. If another restorer has taken a
// partition over nevertheless, the partition refuses the next write.
func (w *run) keep(ctx context.Context) {
	for lifecycle.Pause(ctx, keepEvery) {
		var asked sync.WaitGroup
		for _, p := range w.claims() {
			asked.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, keepEvery)
				defer cancel()
				_ = w.restorer.Stay(ctx, p)
			})
		}
		asked.Wait()
	}
}

func (w *run) claim(p int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.claimed[p] = true
}

func (w *run) claims() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.claimed))
}

// all restores the partitions, several at once, and has them opened.
func (w *run) all(ctx context.Context) error {
	todo, done := make(chan int), make(chan struct{}, len(w.plan.Partitions))
	var workers sync.WaitGroup
	var mu sync.Mutex
	var troubles stock.PartitionErrors
	for range max(1, min(len(w.cells), orDefault(w.Parallel))) {
		workers.Go(func() {
			for p := range todo {
				if err := w.partition(ctx, p); err != nil {
					mu.Lock()
					troubles.Add(p, err)
					mu.Unlock()
					continue
				}
				done <- struct{}{}
			}
		})
	}
	opened := make(chan error, 1)
	go func() { opened <- w.opener(ctx, done) }()
	for _, p := range w.plan.Partitions {
		if w.wants(p) && ctx.Err() == nil {
			todo <- p
		}
	}
	close(todo)
	workers.Wait()
	close(done)
	return errors.Join(ctx.Err(), troubles.Err(), <-opened)
}

func orDefault(parallel int) int {
	if parallel == 0 {
		return parallelDefault
	}
	return parallel
}

// opener opens Redis when partitions are done: after the first one, whenever another part of all is done, and at the
// end. It pauses between two vettings, because each reads the positions of all cells. Only the last one counts: a
// server may be away for a moment.
func (w *run) opener(ctx context.Context, done <-chan struct{}) error {
	var next time.Time
	left, restored := 1, false
	for range done {
		restored = true
		left--
		began := time.Now()
		if left > 0 || began.Before(next) {
			continue
		}
		_ = w.Open(ctx)
		next, left = time.Now().Add(openEvery*time.Since(began)), len(w.plan.Partitions)/openParts
	}
	if !restored {
		return nil
	}
	return w.Open(ctx)
}

func (w *run) wants(p int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, wanted := w.cells[p]
	return wanted
}

// partition restores one partition.
func (w *run) partition(ctx context.Context, p int) error { return w.outcome(p, w.refill(ctx, p)) }

// outcome reports the result of a partition, and renews the claim on it no longer. It returns the error if there is trouble.
func (w *run) outcome(p int, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.claimed, p)
	switch {
	case err == nil:
		w.report.Done++
	case errors.Is(err, redisstock.ErrRestoring):
		w.report.Busy = append(w.report.Busy, p)
		slices.Sort(w.report.Busy)
		err = nil
	case errors.Is(err, redisstock.ErrHoldsStock):
		w.report.Refused[p] = "it holds stock by now: another process has brought it back"
		err = nil
	}
	return err
}

// refuse leaves a partition out, keeps the reason, and renews the claim on it no longer.
func (w *run) refuse(p int, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, wanted := w.cells[p]; wanted {
		delete(w.cells, p)
		delete(w.claimed, p)
		w.report.Refused[p] = fmt.Sprintf(format, args...)
	}
}
