package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
)

// Position is a place in the history of a database: a reader that has reached it has all that was committed before. It
// is a plain number, so that a header, a token or a cookie can carry it. 0 is the beginning.
type Position uint64

// Never is a position that no reader reaches: the highest number that has a text.
const Never Position = 1e19 - 1

// UnmarshalText implements encoding.TextUnmarshaler: 1 to 19 digits without leading zeros.
func (p *Position) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n > uint64(Never) || text[0] == '0' {
		return errors.New("want 1 to 19 digits without leading zeros")
	}
	*p = Position(n)
	return nil
}

const (
	// beatEvery is the time between two beats of a database, however many processes make them. After a commit its
	// readers are not used for about this long by who wants to see it.
	beatEvery = 200 * time.Millisecond
	// lookTimeout bounds a look at the beats. A server that does not answer so long is not read from.
	lookTimeout = time.Second
	// ReadTimeout bounds what a reader that hangs costs those who ask it before anybody knows.
	ReadTimeout = 2 * time.Second

	updateBeat = "UPDATE database_beats SET n = n + 1, at = NOW(3) WHERE id = 1 AND (at <= NOW(3) - INTERVAL ? MICROSECOND OR at > NOW(3))"
	selectBeat = "SELECT n, at, identity FROM database_beats WHERE id = 1"
)

// Beat is the state of the only row of the table database_beats. A beat counts n up, and goes to the replicas by the same
// way as all commits, in their order. So a reader that has beat n has all that was committed before beat n began.
type Beat struct {
	N        Position
	At       time.Time // by the clock of the writer
	Identity [16]byte  // of the database; its replicas have the same
}

// Copies are a database and its replicas: one server that writes, and others to read from. Who has written reads what it
// has written: it says from which position on, and gets a reader that has reached it, or the writer. Nobody waits for a
// reader.
type Copies struct {
	name    string
	writer  *sql.DB
	readers []*reader
	lagMax  time.Duration
	within  time.Duration // of a read in a reader
	log     *slog.Logger

	latest atomic.Pointer[Beat] // of the writer, as last seen
	next   atomic.Uint64        // whose turn it is

	fromReader, fromWriter, fellBack *metrics.Counter
}

type reader struct {
	name string
	pool *sql.DB
	seen atomic.Pointer[Beat] // nil: it cannot be read from
}

// NewCopies joins a database and its readers, which OpenReader has opened. A reader that is more than lagMax behind is not
// used. The name is for logs. Close closes all of them.
func NewCopies(name string, writer *sql.DB, readers []*sql.DB, lagMax time.Duration, log *slog.Logger) *Copies {
	c := &Copies{
		name: name, writer: writer, lagMax: lagMax, within: ReadTimeout, log: log,
		fromReader: new(metrics.Counter), fromWriter: new(metrics.Counter), fellBack: new(metrics.Counter),
	}
	for i, pool := range readers {
		c.readers = append(c.readers, &reader{name: fmt.Sprintf("%s reader %d", name, i+1), pool: pool})
	}
	return c
}

// Close closes the connections to all servers.
func (c *Copies) Close() error {
	err := c.writer.Close()
	for _, r := range c.readers {
		err = errors.Join(err, r.pool.Close())
	}
	return err
}

// Writer is the server that writes.
func (c *Copies) Writer() *sql.DB { return c.writer }

// Write runs a transaction, as the function Write does. The position is where its effect is.
func (c *Copies) Write(ctx context.Context, what string, do func(*sql.Tx) error) (Position, error) {
	if err := Write(ctx, c.writer, what, do); err != nil {
		return 0, err
	}
	return c.Position(ctx), nil
}

// Position is where the history of the database is: it has all that was committed before the call. If the writer does not
// tell, it is Never.
func (c *Copies) Position(ctx context.Context) Position {
	if len(c.readers) == 0 {
		return 0
	}
	beat, err := ReadBeat(ctx, c.writer)
	if err != nil {
		return Never
	}
	return beat.N + 1 // this one may have begun before a commit that the caller knows of
}

// Read returns what do reads in a reader that has reached a position, or else in the writer. If the reader fails, or has not
// answered within ReadTimeout, do runs once more, in the writer: it only reads, under the context that it is given, and returns
// all that it has read, so that nothing of the first run is left.
func Read[T any](ctx context.Context, c *Copies, from Position, do func(context.Context, *sql.DB) (T, error)) (T, error) {
	r := c.fit(from)
	if r == nil {
		c.fromWriter.Inc()
		return do(ctx, c.writer)
	}
	bounded, cancel := context.WithTimeout(ctx, c.within) // also while it waits for a connection, which reads that hang may have
	defer cancel()
	read, err := do(bounded, r.pool)
	if err == nil || ctx.Err() != nil || bounded.Err() == nil && !ofServer(err) {
		c.fromReader.Inc()
		return read, err
	}
	r.seen.Store(nil) // until it answers again
	c.fellBack.Inc()
	return do(ctx, c.writer)
}

// Measure makes the metrics of the copies in a service. Nobody reads from them before.
func (c *Copies) Measure(set *metrics.Set, service string) {
	reads := func(from string) *metrics.Counter {
		return set.NewCounter(fmt.Sprintf("sluice_%s_database_reads_total{database=%q,from=%q}", service, c.name, from))
	}
	c.fromReader, c.fromWriter, c.fellBack = reads("reader"), reads("writer"), reads("writer_instead")
	set.NewGauge(fmt.Sprintf("sluice_%s_database_lag_seconds{database=%q}", service, c.name), func() float64 {
		if lag := c.Lag(); lag < math.MaxInt64 {
			return lag.Seconds()
		}
		return math.Inf(1)
	})
}

// Reads counts the reads that readers answered, those that the writer answered because no reader had reached their
// position, and those that it answered because a reader failed.
func (c *Copies) Reads() (reader, writer, fellBack uint64) {
	return c.fromReader.Get(), c.fromWriter.Get(), c.fellBack.Get()
}

// Lag is how far the reader that is furthest behind is behind the writer, by the writer's clock. A reader that cannot be read
// from is infinitely far behind.
func (c *Copies) Lag() (furthest time.Duration) {
	for _, r := range c.readers {
		furthest = max(furthest, c.behind(r.seen.Load()))
	}
	return furthest
}

func (c *Copies) behind(seen *Beat) time.Duration {
	latest := c.latest.Load()
	if seen == nil || latest == nil || seen.Identity != latest.Identity {
		return math.MaxInt64
	}
	return max(0, latest.At.Sub(seen.At))
}

// fit is a reader that has reached a position, the next one in turn, or nil.
func (c *Copies) fit(from Position) *reader {
	first := c.next.Add(1)
	for i := range uint64(len(c.readers)) {
		r := c.readers[(first+i)%uint64(len(c.readers))]
		if seen := r.seen.Load(); seen != nil && seen.N >= from && c.behind(seen) <= c.lagMax {
			return r
		}
	}
	return nil
}

// Run makes the beats and looks for them in the readers, until ctx ends. Without it the writer answers all reads.
func (c *Copies) Run(ctx context.Context) {
	if len(c.readers) == 0 {
		return
	}
	var running sync.WaitGroup
	running.Go(func() { lifecycle.Repeat(ctx, c.log, "make the beats of database "+c.name, beatEvery/2, c.beat) })
	for _, r := range c.readers {
		running.Go(func() {
			lifecycle.Repeat(ctx, c.log, "read from "+r.name, beatEvery/2, func(ctx context.Context) error { return c.look(ctx, r) })
		})
	}
	running.Wait()
}

func (c *Copies) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if _, err := c.writer.ExecContext(ctx, updateBeat, beatEvery.Microseconds()); err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	beat, err := ReadBeat(ctx, c.writer)
	if err == nil {
		c.latest.Store(&beat)
	}
	return err
}

var errOtherDatabase = errors.New("it is no replica of its writer: correct its address")

func (c *Copies) look(ctx context.Context, r *reader) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	beat, err := ReadBeat(ctx, r.pool)
	if latest := c.latest.Load(); err == nil && latest != nil && latest.Identity != beat.Identity {
		err = errOtherDatabase
	}
	if err != nil {
		r.seen.Store(nil)
		return err
	}
	r.seen.Store(&beat)
	return nil
}

// ReadBeat reads which beat a server has.
func ReadBeat(ctx context.Context, from *sql.DB) (Beat, error) {
	var beat Beat
	var identity []byte
	if err := from.QueryRowContext(ctx, selectBeat).Scan(&beat.N, &beat.At, &identity); err != nil {
		return Beat{}, ReadError("beats", "database_beats", err)
	}
	if copy(beat.Identity[:], identity) != len(beat.Identity) {
		return Beat{}, errors.New("read beats: the identity is no 16 bytes")
	}
	return beat, nil
}
