package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sluice/core/event"
	"sluice/core/rebuild"
	"sluice/core/stock"
)

// Tails knows the events of cells that Redis may have lost.
type Tails interface {
	// After yields a tail for each of the cells: its known events after a position.
	After(ctx context.Context, after map[stock.Cell]stock.Position, yield func(stock.Cell, Tail) error) error
}

// Tail has the known events of a cell after a position.
type Tail struct {
	Ends []stock.Position // the ends of the epochs that rebases in the tail have ended
	// Each yields the events in their order, with the Redis time of each.
	Each func(yield func(e *event.Event, timeMS int64) error) error
	Why  string // why the tail cannot be applied, and what to do; empty: it can be applied
}

// Rebuilt is a cell that had lost effects. Open has applied those that MySQL and Kafka know.
type Rebuilt struct {
	Cell     stock.Cell
	From, To stock.Position // the positions of Redis before and after
	Lost     rebuild.Loss   // the events that are missing between the known ones
	Revoked  int            // number of holds for which the counters had no units any more
	Avail    int64          // the free units afterwards. Events that nobody has seen moved at most so many
}

const (
	tailReason = "Redis had lost effects: applied again what MySQL and Kafka know"
	// tailRecords is how many records one call writes.
	tailRecords = 500
	// lagMax is how many cells that lack effects one Open rebuilds.
	lagMax = 100_000
	// lagAtOnce is how many of them one call reads.
	lagAtOnce = 512
)

// errRebuilt means that cells were rebuilt. A new vetting has to prove them.
var errRebuilt = errors.New("cells were rebuilt")

// mends lists the partitions that have lost the tails of cells, or have fenced cells, and have lost nothing else.
func (v *vetting) mends() (partitions []int) {
	if v.cfg.Tails == nil || len(v.causes) > 0 || v.lagging {
		return nil
	}
	which := map[int]bool{}
	for cell := range v.lag {
		which[cell.Partition(v.cfg.Partitions)] = true
	}
	for _, p := range sortedKeys(which) {
		found := &v.partitions[p]
		if !v.forkedIn[p] && found.whose != (meta{}) && !v.bare(p) && !found.restoring && v.torn(p) == "" {
			partitions = append(partitions, p)
		}
	}
	return partitions
}

// mend rebuilds the cells of partitions that are shut. If it has rebuilt any cell, the error is errRebuilt; why says
// what prevents the others. If the process is killed, a cell stays where it was, with some newer records. The next
// attempt finds these done.
func (v *vetting) mend(ctx context.Context, partitions []int) (why []string, err error) {
	m := mending{vetting: v, ctx: ctx, bases: map[stock.Cell]*base{}}
	cells := map[int][]stock.Cell{}
	for cell := range v.lag {
		p := cell.Partition(v.cfg.Partitions)
		cells[p] = append(cells[p], cell)
	}
	for _, p := range partitions {
		if err := m.read(p, cells[p]); err != nil {
			return nil, fmt.Errorf("rebuild partition %d: %w", p, err)
		}
	}
	if err := v.waitForAcks(ctx); err != nil {
		return nil, err
	}
	after := make(map[stock.Cell]stock.Position, len(m.bases))
	for cell, b := range m.bases {
		after[cell] = b.Position
	}
	err = v.cfg.Tails.After(ctx, after, m.cell)
	if err != nil && (ctx.Err() != nil || m.rebuilt == 0) {
		return nil, fmt.Errorf("rebuild what redis has lost: %w", err)
	}
	if m.rebuilt > 0 {
		v.cfg.Log.WarnContext(ctx, "rebuilt cells of which redis had lost effects, from MySQL and Kafka",
			"cells", m.rebuilt, "events", m.events, "partitions", stock.PartitionsText(partitions))
		return nil, errRebuilt
	}
	return m.why, nil
}

// mending is one run of mend.
type mending struct {
	*vetting

	ctx     context.Context //nolint:containedctx // of one call of mend
	bases   map[stock.Cell]*base
	why     []string
	rebuilt int
	events  int
}

// base is a cell as Redis has it.
type base struct {
	rebuild.Cell

	value string
}

// read reads from Redis the cells of a partition that lag, with their holds.
func (m *mending) read(p int, cells []stock.Cell) error {
	conn, k := m.ownerOf[p].conn, keysOf(p)
	for some := range slices.Chunk(cells, lagAtOnce) {
		fields := make([]string, len(some))
		for i, cell := range some {
			fields[i] = string(cell.Append(nil))
		}
		values, err := conn.Do(m.ctx, conn.B().Hmget().Key(k.cells).Field(fields...).Build()).AsStrSlice()
		if err != nil {
			return err
		}
		for i, cell := range some {
			state, err := cellFrom(cell, values[i])
			if err != nil {
				return err
			}
			if !state.Less(m.lag[cell].Known) && !state.Fenced {
				return fmt.Errorf("%v: %w", cell, errChanged) // another process has rebuilt it
			}
			m.bases[cell] = &base{rebuild.Cell{CellState: state}, values[i]}
		}
	}
	for cursor := uint64(0); ; {
		step, err := conn.Do(m.ctx, conn.B().Hscan().Key(k.res).Cursor(cursor).Count(scanCount).Build()).AsScanEntry()
		if err != nil {
			return err
		}
		records, err := recordHash.fields(k.res, step.Elements)
		if err != nil {
			return err
		}
		for _, r := range records {
			if b := m.bases[r.Cell]; b != nil && r.State == stock.StateHeld && r.Seq <= b.Seq { // later ones are among the events
				b.Held = append(b.Held, r)
			}
		}
		if cursor = step.Cursor; cursor == 0 {
			break
		}
	}
	for _, cell := range cells { // a scan may yield a record twice
		b := m.bases[cell]
		slices.SortFunc(b.Held, func(a, c stock.Reservation) int { return a.ID.Compare(c.ID) })
		b.Held = slices.CompactFunc(b.Held, func(a, c stock.Reservation) bool { return a.ID == c.ID })
	}
	return nil
}

// cell rebuilds one cell.
func (m *mending) cell(cell stock.Cell, tail Tail) error {
	if tail.Why != "" {
		m.why = append(m.why, fmt.Sprintf("%v: %s", cell, tail.Why))
		return nil
	}
	b := m.bases[cell]
	w := part{mending: m, base: b, partition: cell.Partition(m.cfg.Partitions)}
	var failed error
	fold := rebuild.New(b.Cell, func(r rebuild.Record) {
		if failed == nil {
			failed = w.put(&r.Reservation, r.EndedMS)
		}
	})
	for _, end := range tail.Ends {
		fold.EndEpoch(end)
	}
	events := 0
	err := tail.Each(func(e *event.Event, timeMS int64) error {
		if e.Epoch > b.Epoch && e.Seq <= b.Seq { // seqs go on over epochs, so the later epoch began before what Redis has
			return errDeclaredLost
		}
		events++
		return errors.Join(fold.Add(e, timeMS), failed)
	})
	if err := errors.Join(err, failed); err != nil {
		return m.refuse(cell, err)
	}
	c := fold.End()
	if known := m.lag[cell].Known; c.Less(known) {
		m.why = append(m.why, fmt.Sprintf("%v: MySQL knows of epoch %d seq %d, and neither ledger nor Kafka has the event: sluice deadletter list, and sluice reconcile",
			cell, known.Epoch, known.Seq))
		return nil
	}
	if c.Seq == 0 || !c.Sound() {
		m.why = append(m.why, fmt.Sprintf("%v: what is known of it does not add up: sluice reconcile --sku %d", cell, cell.SKU))
		return nil
	}
	done := Rebuilt{Cell: cell, From: b.Position, Lost: c.Lost, Revoked: len(c.Revoked), Avail: c.Avail}
	if err := m.rebase(&w, &c); err != nil {
		return m.refuse(cell, err)
	}
	done.To = c.Position
	m.rebuilt, m.events = m.rebuilt+1, m.events+events
	m.report.note(done)
	m.cfg.Log.WarnContext(m.ctx, "rebuilt a cell", "cell", cell.String(), "was_at", done.From.Text(), "known_up_to", m.lag[cell].Known.Text(),
		"events_applied", events, "events_lost", c.Lost.Events, "units_lost_at_most", c.Lost.Units, "unseen_units_lost_at_most", c.Avail, "holds_revoked", done.Revoked)
	return nil
}

// rebase writes the new holds, and puts the cell into its next epoch. It writes a revoked hold together with the event
// that revokes it. If they do not fit into one part, the cell stays fenced until the last part. After a kill, another
// process revokes the rest.
func (m *mending) rebase(w *part, c *rebuild.Cell) error {
	for i := range c.Held {
		if r := &c.Held[i]; r.Seq > w.base.Seq {
			if err := w.put(r, 0); err != nil {
				return err
			}
		}
	}
	nowMS, err := serverTime(m.ctx, w.owner().conn)
	if err != nil {
		return err
	}
	left := c.Revoked
	for ; len(left) > m.cfg.records; left = left[m.cfg.records:] {
		revoked, events := c.Revoke(m.cfg.records, tailReason)
		fenced := c.CellState
		fenced.Fenced, fenced.Loaded = true, true
		if err := w.end(&fenced, revoked, events, nowMS); err != nil {
			return err
		}
	}
	events := c.Rebase(tailReason)
	return w.end(&c.CellState, left, events, nowMS)
}

// errReused means that somebody used an id again among the lost events, after its retention had ended. Redis' list of
// retentions would remove the new record too early.
var errReused = errors.New("an Idempotency-Key was used again among the lost events, after its retention: bring the data back, or empty the partition and run sluice restore")

// errDeclaredLost means that Redis has effects that a rebase declared lost, because the cell went on without them.
// Their units may have been sold again since.
var errDeclaredLost = errors.New("it has effects that were declared lost when the cell went on without them: " +
	"bring a newer copy, or empty the partition and run sluice restore")

// refuse notes why a cell stays as it is. Others may go on.
func (m *mending) refuse(cell stock.Cell, err error) error {
	if errors.Is(err, errReused) || errors.Is(err, errDeclaredLost) || errors.Is(err, rebuild.ErrOrder) {
		m.why = append(m.why, fmt.Sprintf("%v: %v", cell, err))
		return nil
	}
	return err
}

// part collects records of a cell and writes them.
type part struct {
	*mending

	base      *base
	partition int
	records   []string
}

func (w *part) owner() *primary { return w.ownerOf[w.partition] }

// put adds a record, and writes a part that is full.
func (w *part) put(r *stock.Reservation, endedMS int64) error {
	w.add(r, endedMS)
	if len(w.records) < 3*w.cfg.records {
		return nil
	}
	return w.write(nil, nil)
}

// add adds a record. endedMS is when its reservation ended; 0: it is held.
func (w *part) add(r *stock.Reservation, endedMS int64) {
	score := r.DeadlineMS
	if endedMS > 0 {
		score = endedMS + w.cfg.Retention.Milliseconds()
	}
	w.records = append(w.records, string(r.ID[:]), strconv.FormatInt(score, 10), string(recordOf(r)))
}

// end writes the collected records, those of revoked holds, and the cell with its events.
func (w *part) end(c *stock.CellState, revoked []stock.Reservation, events []event.Event, nowMS int64) error {
	for i := range revoked {
		w.add(&revoked[i], nowMS)
	}
	if len(events) == 0 { // the holds are larger than the cell, so no event can tell of them
		return w.write(nil, nil)
	}
	value := appendCell(nil, c)
	err := w.write(value, event.Append(nil, event.Batch{Partition: w.partition, TimeMS: nowMS, Events: events}))
	w.base.value = string(value)
	return err
}

// write writes the collected records, and the cell and its events where these are given.
func (w *part) write(wanted, entry []byte) error {
	k, conn, cell := keysOf(w.partition), w.owner().conn, w.base.CellState.Cell
	answer, err := conn.Do(w.ctx, conn.B().Eval().Script(w.upkeep.rebuild).Numkeys(8).
		Key(k.mark, k.cells, k.res, k.due, k.gone, k.outbox, k.buyers(cell.Pool), k.meta).
		Arg(string(cell.Append(nil)), w.base.value, string(wanted), string(entry)).Arg(w.records...).Build()).AsIntSlice()
	w.records = nil
	switch {
	case err != nil:
		return fmt.Errorf("write %v: %w", cell, err)
	case len(answer) != 1:
		return fmt.Errorf("write %v: %w", cell, elementsError(len(answer)))
	case answer[0] == 3:
		return errReused
	case answer[0] != 0: // another process has done it meanwhile
		return fmt.Errorf("write %v: %w", cell, errChanged)
	case w.cfg.wrote != nil:
		return w.cfg.wrote()
	}
	return nil
}

// note keeps some of the rebuilt cells for the report.
func (r *OpenReport) note(done Rebuilt) {
	r.RebuiltCells++
	if len(r.Rebuilt) < worstMax || done.Lost.Events > 0 && len(r.Rebuilt) < 10*worstMax {
		r.Rebuilt = append(r.Rebuilt, done)
	}
}

// announceEntries is how many entries of an outbox one call reads.
const announceEntries = 100

// announce brings the rebases of vettings to Kafka before their partitions open, so that nobody sells in an epoch that Kafka does not
// know of. Otherwise, if Redis lost its tail once more, the next vetting would begin the same epoch, and events of the first one
// that are still on their way would collide with those of the second.
func (v *vetting) announce(ctx context.Context) error {
	if v.cfg.Publish == nil {
		return nil
	}
	for p := range v.partitions {
		found := &v.partitions[p]
		if found.rebuilt == found.announced || !v.opens(&v.findings, p) {
			continue
		}
		if err := v.announceOf(ctx, p); err != nil {
			return fmt.Errorf("bring the rebases of partition %d to kafka: %w", p, err)
		}
		conn := v.ownerOf[p].conn
		// If another vetting has rebuilt more of the partition meanwhile, the count is higher.
		if err := conn.Do(ctx, conn.B().Hset().Key(keysOf(p).meta).FieldValue().FieldValue(metaAnnounced, found.rebuilt).Build()).Error(); err != nil {
			return fmt.Errorf("note that the rebases of partition %d are in kafka: %w", p, err)
		}
	}
	return nil
}

func (v *vetting) announceOf(ctx context.Context, p int) error {
	conn := v.ownerOf[p].conn
	for start := "-"; ; {
		entries, err := entriesOf(p, conn.Do(ctx, conn.B().Xrange().Key(keysOf(p).outbox).Start(start).End("+").Count(announceEntries).Build()))
		if err != nil {
			return err
		}
		last := len(entries) < announceEntries
		if !last {
			start = "(" + entries[len(entries)-1].ID
		}
		entries = slices.DeleteFunc(entries, func(e stock.Entry) bool { return !hasRebase(e.Data) })
		if len(entries) > 0 {
			if err := v.cfg.Publish(ctx, entries); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// hasRebase reports whether an entry has a rebase, or nobody can tell.
func hasRebase(data []byte) bool {
	b, err := event.Decode(data)
	return err != nil || slices.ContainsFunc(b.Events, func(e event.Event) bool { return e.Kind == event.KindRebase })
}
