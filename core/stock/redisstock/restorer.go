package redisstock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/stock"
)

// The reasons why a partition cannot be restored now.
var (
	// ErrRestoring means that another process restores the partition.
	ErrRestoring = errors.New("another process restores it")
	// ErrHoldsStock means that the partition has stock, or sells. A restore never overwrites it.
	ErrHoldsStock = errors.New("it holds stock")
)

const (
	// refillPairs is how many pairs one call writes at most. Lua hands about 8000 values to a command.
	refillPairs = 1500
	// refillEvents is how many events one entry has at most.
	refillEvents = 500
	// groupIDs is how many reservations share a member of due or gone at most.
	groupIDs = 128
	// goneStepMS is by how much the end of a retention may be later than exact, so that several records share a
	// member.
	goneStepMS = 1000
)

// Restorer writes partitions that hold nothing or have lost a key. They are shut all the time. A vetting proves the
// result afterwards. A Restorer is safe for concurrent use, for different partitions.
type Restorer struct {
	client  rueidis.Client
	upkeep  upkeep
	owner   string
	meta    []string
	ledger  string // id of the database
	retains time.Duration
}

// NewRestorer makes a restorer for a deployment. ledger is the id of the database that has its ledger.
func NewRestorer(client rueidis.Client, partitions int, deployment, ledger string, retention time.Duration) (*Restorer, error) {
	upkeep, err := loadUpkeep()
	if err != nil {
		return nil, err
	}
	return &Restorer{
		client: client, upkeep: upkeep, owner: rand.Text(), ledger: ledger, retains: retention,
		meta: []string{metaDeployment, deployment, metaPartitions, strconv.Itoa(partitions), metaFormat, metaFormatNow},
	}, nil
}

// Clear empties a partition and begins to restore it. pools are the pools of its cells. If the partition holds stock,
// the error is ErrHoldsStock, unless torn says that the partition has lost a key, or a restore of it has begun before.
// begun reports the latter: the other restorer may have published events.
func (r *Restorer) Clear(ctx context.Context, partition int, torn *Torn, pools []uint32) (begun bool, err error) {
	k := keysOf(partition)
	all := []string{k.mark, k.meta, k.restorer, k.baskets, k.undecided, k.cells, k.res, k.due, k.gone, k.outbox}
	args := []string{r.owner, millis(RestorerTTL), "0", ""}
	if torn != nil {
		args[2], args[3] = "1", torn.Restored
	}
	args = append(args, r.meta...)
	if partition == 0 && r.ledger != "" {
		args = append(args, metaLedger, r.ledger)
	}
	answer, err := r.run(ctx, "clear", r.upkeep.clear, append(all, buyersOf(&k, pools)...), args)
	return answer == tookOver, err
}

func buyersOf(k *keys, pools []uint32) []string {
	names := make([]string, len(pools))
	for i, pool := range pools {
		names[i] = k.buyers(pool)
	}
	return names
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Stay renews the restorer's claim on a partition.
func (r *Restorer) Stay(ctx context.Context, partition int) error {
	return r.Refill(partition, nil, 0).write(ctx, false)
}

// RestorerTTL is how long a restorer may be silent. After that, another one takes its partition over.
const RestorerTTL = 15 * time.Second

// tookOver is the answer of clear about a partition that another one had begun to restore.
const tookOver = 4

// run runs a script, and returns its answer if the script did its work.
func (r *Restorer) run(ctx context.Context, what, script string, keys, args []string) (int64, error) {
	answer, err := r.client.Do(ctx, r.client.B().Eval().Script(script).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()).AsIntSlice()
	if err != nil {
		return 0, wrap(what, err)
	}
	if len(answer) != 1 {
		return 0, wrapProtocol(what, elementsError(len(answer)))
	}
	switch answer[0] {
	case 0, tookOver:
		return answer[0], nil
	case 1:
		return 0, ErrRestoring
	case 2, 3:
		return 0, ErrHoldsStock
	}
	return 0, wrapProtocol(what, fmt.Errorf("answer %d", answer[0]))
}

// Refill collects the content of a partition and writes it in parts. It writes a cell after everything about the
// cell. So a partition that has all its cells has everything.
type Refill struct {
	r         *Restorer
	partition int
	k         keys
	pools     []uint32
	nowMS     int64

	pairs   int
	piece   []byte   // of memory, for the bytes of fields and values
	records []string // fields and values
	cells   []string
	buyers  [][]string // by pool, as in pools
	due     map[dueKey][]byte
	gone    map[int64][]byte
	full    [2][]string // full members: those of due, and those of gone
	events  []event.Event
}

// dueKey is shared by the reservations of one member of due.
type dueKey struct {
	deadlineMS int64
	pool       uint32
}

// Refill begins to write a partition that Clear has emptied. nowMS is Redis' time.
func (r *Restorer) Refill(partition int, pools []uint32, nowMS int64) *Refill {
	f := &Refill{r: r, partition: partition, k: keysOf(partition), pools: pools, nowMS: nowMS, buyers: make([][]string, len(pools))}
	f.reset()
	return f
}

func (f *Refill) reset() {
	f.pairs, f.records, f.cells, f.events = 0, f.records[:0], f.cells[:0], f.events[:0]
	for pool := range f.buyers {
		f.buyers[pool] = f.buyers[pool][:0]
	}
	f.due, f.gone, f.full = map[dueKey][]byte{}, map[int64][]byte{}, [2][]string{}
}

const (
	// pieceBytes is how much memory many short strings share.
	pieceBytes = 64 << 10
	// valueBytesMax is more than a field or a value has.
	valueBytesMax = 128
)

// room returns memory for a field or a value. Append to it, and make a string of it by keep.
func (f *Refill) room() []byte {
	if cap(f.piece)-len(f.piece) < valueBytesMax {
		f.piece = make([]byte, 0, pieceBytes)
	}
	return f.piece[len(f.piece):]
}

// keep returns bytes in the memory of room as a string. Nobody changes them any more.
func (f *Refill) keep(b []byte) string {
	f.piece = f.piece[:len(f.piece)+len(b)]
	return text(b)
}

// Record writes a record. endedMS is the Redis time at which its reservation ended; 0: it is held.
func (f *Refill) Record(ctx context.Context, r *stock.Reservation, endedMS int64) error {
	f.records = append(f.records, f.keep(append(f.room(), r.ID[:]...)), f.keep(appendRecord(f.room(), r)))
	f.pairs++
	if endedMS == 0 {
		key := dueKey{r.DeadlineMS, r.Cell.Pool}
		member := f.due[key]
		if member == nil {
			member = binary.BigEndian.AppendUint32(nil, key.pool)
		}
		f.due[key] = join(member, r.ID, poolBytes, key.deadlineMS, &f.full[0])
		return f.perhaps(ctx)
	}
	at := endedMS + f.r.retains.Milliseconds()
	at += goneStepMS - 1 - (at+goneStepMS-1)%goneStepMS
	f.gone[at] = join(f.gone[at], r.ID, 0, at, &f.full[1])
	return f.perhaps(ctx)
}

// join adds an id to a member. When a member is full, join begins the next one.
func join(member []byte, id stock.ReservationID, head int, score int64, full *[]string) []byte {
	member = append(member, id[:]...)
	if len(member) < head+groupIDs*stock.ReservationBytes {
		return member
	}
	*full = append(*full, strconv.FormatInt(score, 10), string(member))
	return nil
}

// Buyer writes the units that count against a user's limit. It fails if Clear did not get the cell's pool, because old
// counts may still be there.
func (f *Refill) Buyer(ctx context.Context, cell stock.Cell, user, units int64) error {
	pool := slices.Index(f.pools, cell.Pool)
	if pool < 0 {
		return fmt.Errorf("restore the users of %v: nobody has emptied pool %d of partition %d", cell, cell.Pool, f.partition)
	}
	field := f.keep(binary.BigEndian.AppendUint64(cell.Append(f.room()), uint64(user)))
	f.buyers[pool] = append(f.buyers[pool], field, f.keep(appendUint(f.room(), uint64(units), 3)))
	f.pairs++
	return f.perhaps(ctx)
}

// Event writes an event into the outbox. Events must come in order.
func (f *Refill) Event(ctx context.Context, e *event.Event) error {
	f.events = append(f.events, *e)
	return f.perhaps(ctx)
}

// Cell writes a cell. Its records, users' counts and events must come before it.
func (f *Refill) Cell(ctx context.Context, c *stock.CellState) error {
	f.cells = append(f.cells, f.keep(c.Cell.Append(f.room())), f.keep(appendCell(f.room(), c)))
	f.pairs++
	return f.perhaps(ctx)
}

func (f *Refill) perhaps(ctx context.Context) error {
	if f.pairs < refillPairs && len(f.events) < refillEvents {
		return nil
	}
	return f.write(ctx, false)
}

// Flush writes everything that Refill has collected.
func (f *Refill) Flush(ctx context.Context) error { return f.write(ctx, false) }

// Close writes the last part. The partition is whole then, and needs a vetting.
func (f *Refill) Close(ctx context.Context) error { return f.write(ctx, true) }

func (f *Refill) write(ctx context.Context, done bool) error {
	args := []string{f.r.owner, millis(RestorerTTL), "0", "", ""}
	if done {
		args[2] = "1"
	}
	if len(f.events) > 0 {
		args[3] = string(event.Append(nil, event.Batch{Partition: f.partition, TimeMS: f.nowMS, Events: f.events}))
	}
	due, gone := f.full[0], f.full[1]
	for key, member := range f.due {
		if len(member) > poolBytes {
			due = append(due, strconv.FormatInt(key.deadlineMS, 10), string(member))
		}
	}
	for at, member := range f.gone {
		if len(member) > 0 {
			gone = append(gone, strconv.FormatInt(at, 10), string(member))
		}
	}
	lists := [][]string{due, gone, f.records, f.cells}
	lists = append(lists, f.buyers...)
	var counts []byte
	for _, list := range lists {
		counts = binary.BigEndian.AppendUint16(counts, uint16(len(list)/2))
	}
	args[4] = string(counts)
	args = slices.Concat(append([][]string{args}, lists...)...)
	k := &f.k
	all := append([]string{k.mark, k.meta, k.restorer, k.outbox, k.due, k.gone, k.res, k.cells}, buyersOf(k, f.pools)...)
	f.reset()
	_, err := f.r.run(ctx, "refill", f.r.upkeep.refill, all, args)
	return err
}
