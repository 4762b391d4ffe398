package redisstock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// ErrVetting means that a vetting has found objections: Redis, or a part of it, must not sell.
var ErrVetting = errors.New("redis stays shut")

// Evidence reads the knowledge of MySQL and Kafka about the stock.
type Evidence interface {
	// Highest yields the highest known position of each cell. Cells come in any order and any number of times.
	Highest(ctx context.Context, yield func(stock.Cell, stock.Position) error) error
	// Forks yields each fork that nobody has dealt with: its cell, and the position that two different events have.
	// Redis has lost one of them and gone on with the other. So its counters are wrong, however many effects it has.
	Forks(ctx context.Context, yield func(stock.Cell, stock.Position) error) error
}

// OpenConfig says what Open demands of a server.
type OpenConfig struct {
	// Partitions is the number of partitions of the deployment. Required.
	Partitions int
	// Deployment is the deployment's id. It keeps a process from selling from another deployment's Redis. Required.
	Deployment string
	// Evidence has the positions that Redis must have reached. Required.
	Evidence Evidence
	// Nonces keeps the nonces of vettings. Required.
	Nonces stock.Nonces
	// Seen has the marks that the caller trusts, if any. Open takes a partition with fewer effects for shut, and gives it a
	// new nonce.
	Seen []stock.Mark
	// Primary fails if the server at an address is not the primary. Open asks it before it opens anything, because the client
	// follows whichever Sentinel answers it. Defaults to nil: the client knows the primaries.
	Primary func(ctx context.Context, addr string) error
	// Tails has the events that Redis may have lost. With it Open rebuilds cells that are behind or fenced, in partitions that
	// lost nothing else. Defaults to nil: such partitions stay shut.
	Tails Tails
	// Retention is how long finished reservations are remembered. Defaults to stock.RetentionDefault.
	Retention time.Duration
	// Publish brings entries of outboxes to Kafka, and returns when Kafka has them. Open needs it for the rebases of the cells that it
	// rebuilds. Defaults to nil: the relay publishes them, once the partition sells.
	Publish func(ctx context.Context, entries []stock.Entry) error
	// Proven is called with the partitions that sell while Open rebuilds cells of others. It may be nil.
	Proven func(OpenReport)
	// AllowNoPersistence accepts a server without append-only file, for development. Defaults to false.
	AllowNoPersistence bool
	// Log defaults to slog.Default().
	Log *slog.Logger

	scripts version
	records int          // of a rebuilt cell that one call writes
	wrote   func() error // is called after each part of a rebuilt cell, by tests
}

// Validate reports all faults at once.
func (c OpenConfig) Validate() error {
	var faults []error
	if c.Partitions < 1 || c.Partitions > 1<<16 {
		faults = append(faults, fmt.Errorf("partitions is %d, want 1 to %d", c.Partitions, 1<<16))
	}
	if c.Deployment == "" {
		faults = append(faults, errors.New("deployment is empty, want an id"))
	}
	if c.Evidence == nil {
		faults = append(faults, errors.New("evidence is missing"))
	}
	if c.Nonces == nil {
		faults = append(faults, errors.New("nonces are missing"))
	}
	return errors.Join(faults...)
}

// OpenReport says what Open has found and done.
type OpenReport struct {
	Primaries []string // their addresses; a single empty one if there is no cluster
	New       bool     // the deployment is new: Redis held nothing of it
	Positions int64    // of cells that the evidence has, several of some cells; Open has compared Redis with each
	Behind    int64    // of these, positions that Redis has not reached
	Worst     []Behind // the cells that lack the most, at most worstMax
	Forked    int      // cells with a fork that nobody has dealt with
	Lost      []int    // partitions that have lost something: nobody may call them

	Shut    int          // partitions that Inspect has found shut
	Renewed int          // partitions that Open has opened
	Marks   []stock.Mark // by partition, for Store.Trust; zero if the partition is shut

	RebuiltCells int       // cells whose lost effects Open has applied again
	Rebuilt      []Rebuilt // some of them
}

// Behind is a cell of which Redis has lost effects.
type Behind struct {
	Cell  stock.Cell
	Redis stock.Position // zero if the cell is not there
	Known stock.Position
}

// String returns the finding in words.
func (b Behind) String() string {
	return fmt.Sprintf("%v is at epoch %d seq %d, known is epoch %d seq %d",
		b.Cell, b.Redis.Epoch, b.Redis.Seq, b.Known.Epoch, b.Known.Seq)
}

const (
	// openTries is how often Open tries, if another process opens Redis at the same time or changes it meanwhile.
	openTries = 5
	// mendsMax is how often Open rebuilds cells. A server that loses effects again meanwhile needs it once more.
	mendsMax = 3
)

// Open vets every primary. If nothing speaks against the whole, it gives shut partitions a new nonce and loads the
// scripts; then they sell. A loss shuts only its own partition, even if that sold: lost effects, a fork, or a key that
// is gone. The report has the marks of all others. Lost effects that MySQL or Kafka know are applied again where cfg
// has them, and the partition opens after all. The error wraps ErrVetting if something was refused, and names each
// cause; other errors mean that the vetting could not be finished. Anybody may repeat Open at any time, also on servers
// that sell, and several processes at once.
func Open(ctx context.Context, client rueidis.Client, cfg OpenConfig) (OpenReport, error) {
	if err := cfg.Validate(); err != nil {
		return OpenReport{}, fmt.Errorf("configure opening of redis: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Retention == 0 {
		cfg.Retention = stock.RetentionDefault
	}
	if cfg.records == 0 {
		cfg.records = tailRecords
	}
	mends, cells, some := 0, 0, []Rebuilt(nil)
	for try := 1; ; try++ {
		report, err := open(ctx, client, cfg)
		cells, some = cells+report.RebuiltCells, append(some, report.Rebuilt...)
		report.RebuiltCells, report.Rebuilt = cells, some
		if errors.Is(err, errRebuilt) && mends < mendsMax {
			mends, try = mends+1, 0
			continue
		}
		again := errors.Is(err, stock.ErrReplaced) || errors.Is(err, errChanged)
		if !again || try == openTries {
			return report, err
		}
	}
}

func open(ctx context.Context, client rueidis.Client, cfg OpenConfig) (OpenReport, error) {
	v, err := newVetting(client, cfg)
	if err != nil {
		return OpenReport{}, err
	}
	defer v.disconnect()
	err = v.inspect(ctx)
	if err == nil && len(v.causes) == 0 && v.missing {
		v.report.New = true
		err = v.writeMeta(ctx)
	}
	if err == nil && len(v.causes) == 0 {
		err = v.claim(ctx)
	}
	if err != nil {
		return v.report, fmt.Errorf("vet redis: %w", err)
	}
	if len(v.causes) > 0 {
		v.report.Marks = v.proven(&v.findings)
		err := fmt.Errorf("%w: %s", ErrVetting, strings.Join(v.against(), "; "))
		return v.report, errors.Join(err, v.stop(ctx))
	}
	err = v.stop(ctx) // before renew loads the scripts, because Redis sells from then on
	if err == nil {
		err = v.checkPrimaries(ctx)
	}
	if err == nil {
		err = v.announce(ctx)
	}
	if err == nil {
		err = v.renew(ctx)
	}
	if err != nil {
		v.report.Marks = nil
		return v.report, fmt.Errorf("open redis: %w", err)
	}
	if mends := v.mends(); len(mends) > 0 {
		if cfg.Proven != nil {
			cfg.Proven(v.report)
		}
		why, err := v.mend(ctx, mends)
		if err != nil {
			return v.report, fmt.Errorf("%w in part: %s: %w", ErrVetting, strings.Join(v.partly, "; "), err)
		}
		v.partly = append(v.partly, why...)
	}
	if len(v.partly) > 0 {
		return v.report, fmt.Errorf("%w in part: %s", ErrVetting, strings.Join(v.partly, "; "))
	}
	cfg.Log.Info("redis is open", "primaries", len(v.primaries), "new", v.report.New,
		"partitions_opened", v.report.Renewed, "positions_compared", v.report.Positions)
	return v.report, nil
}

// Inspect returns the objections that Open would have now, one by one. It changes nothing. An error means that it could
// not find out.
func Inspect(ctx context.Context, client rueidis.Client, cfg OpenConfig) (OpenReport, []string, error) {
	if err := cfg.Validate(); err != nil {
		return OpenReport{}, nil, fmt.Errorf("configure inspection of redis: %w", err)
	}
	v, err := newVetting(client, cfg)
	if err != nil {
		return OpenReport{}, nil, err
	}
	defer v.disconnect()
	if err := v.inspect(ctx); err != nil {
		return v.report, nil, fmt.Errorf("inspect redis: %w", err)
	}
	v.report.New = v.missing
	for p := range v.partitions {
		if v.partitions[p].shut() {
			v.report.Shut++
		}
	}
	return v.report, v.against(), nil
}

// watch has the servers notice if the cells of shut partitions change during the comparison, for example because
// somebody empties or exchanges them. Scripts change such cells only for callers that trust a mark which MySQL does not
// know, and for programs that do not know the sign. Partitions that are empty, or being restored, may change: they are not
// opened if there is stock of them.
func (v *vetting) watch(ctx context.Context) error {
	for _, p := range v.primaries {
		commands := []rueidis.Completed{p.conn.B().Unwatch().Build()} // an earlier vetting may have left a watch
		for _, partition := range p.partitions {
			if found := &v.partitions[partition]; found.shut() && found.counts.cells > 0 && !found.restoring {
				commands = append(commands, p.conn.B().Watch().Key(keysOf(partition).cells).Build())
			}
		}
		if err := firstError(p.conn.DoMulti(ctx, commands...)); err != nil {
			return fmt.Errorf("watch cells on %s: %w", p, err)
		}
	}
	return nil
}

// errChanged means that cells which watch watches have changed.
var errChanged = errors.New("its data changed while they were compared")

// unchanged fails with errChanged if the watched cells of a server have changed.
func (v *vetting) unchanged(ctx context.Context, p *primary) error {
	b := p.conn.B
	answers := p.conn.DoMulti(ctx, b().Multi().Build(), b().Exec().Build()) // it is empty, so even a full server accepts it
	err := firstError(answers)
	if rueidis.IsRedisNil(err) {
		return fmt.Errorf("%s: %w", p, errChanged)
	}
	return err
}

// checkPrimaries fails if something is to be opened or rebuilt on a server that is not the primary.
func (v *vetting) checkPrimaries(ctx context.Context) error {
	opens := len(v.mends()) > 0
	for p := range v.partitions {
		opens = opens || v.opens(&v.findings, p)
	}
	for _, p := range v.primaries {
		if v.cfg.Primary == nil || !opens && p.scripts.all {
			continue
		}
		if err := v.cfg.Primary(ctx, p.addr); err != nil {
			return err
		}
	}
	return nil
}

// renew gives the shut partitions a new nonce and loads the scripts. From then on they sell. Open partitions keep their
// nonce, so that their callers notice nothing; with the scripts loaded they also serve callers of this version.
// Partitions that have lost something stay shut.
func (v *vetting) renew(ctx context.Context) error {
	var changes []stock.NonceChange
	v.report.Marks = v.proven(&v.findings)
	for p := range v.partitions {
		if !v.opens(&v.findings, p) {
			continue
		}
		nonce, err := newNonce(v.partitions[p].kept.Nonce)
		if err != nil {
			return err
		}
		changes = append(changes, stock.NonceChange{Partition: p, Old: v.partitions[p].kept.Nonce, New: nonce})
		v.report.Marks[p] = stock.Mark{Nonce: nonce}
	}
	v.report.Renewed = len(changes)
	if len(changes) == 0 {
		return v.load(ctx)
	}
	return v.cfg.Nonces.Replace(ctx, changes, func(ctx context.Context) error {
		// Reading the evidence takes a while. A primary that was replaced meanwhile may not know it yet.
		if err := samePrimaries(ctx, v.client, v.primaries, v.cfg.Partitions); err != nil {
			return err
		}
		if err := v.writeMarks(ctx, changes); err != nil {
			if errors.Is(err, errChanged) {
				return errors.Join(err, v.silence(ctx, changes))
			}
			return err
		}
		return v.load(ctx)
	})
}

// silence deletes the marks of shut partitions that have changed all the same. Somebody sells from data that MySQL does
// not know, for example a program that does not know the sign. Redis refuses such callers until the next try has opened
// the partitions.
func (v *vetting) silence(ctx context.Context, changes []stock.NonceChange) error {
	v.cfg.Log.Warn("redis is changed while it is shut: refusing those who change it until it is vetted", "partitions", len(changes))
	for _, c := range changes {
		p := v.ownerOf[c.Partition]
		if err := p.conn.Do(ctx, p.conn.B().Del().Key(keysOf(c.Partition).mark).Build()).Error(); err != nil {
			return fmt.Errorf("shut partition %d on %s: %w", c.Partition, p, err)
		}
	}
	return nil
}

// newNonce makes a nonce in place of an old one. It ends differently, and not with zeros, so that a basket that was begun under
// the old one is not taken for intact.
func newNonce(old uint64) (uint64, error) {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("make nonce: %w", err)
		}
		if n := binary.BigEndian.Uint64(b[:]) >> 1; vettingOf(n) != 0 && vettingOf(n) != vettingOf(old) { // 63 bits fit into every integer type of a database
			return n, nil
		}
	}
}

func (v *vetting) writeMarks(ctx context.Context, changes []stock.NonceChange) error {
	changed := make(map[int]bool, len(changes))
	for _, c := range changes {
		changed[c.Partition] = true
	}
	for _, p := range v.primaries {
		var commands []rueidis.Completed
		for _, partition := range p.partitions {
			if changed[partition] {
				commands = append(commands, v.upkeep.writeMark(p.conn.B(), partition, v.report.Marks[partition]))
			}
		}
		if err := v.unchanged(ctx, p); err != nil {
			return err
		}
		if err := firstError(p.conn.DoMulti(ctx, commands...)); err != nil {
			return fmt.Errorf("write marks on %s: %w", p, err)
		}
	}
	return nil
}

// load loads every script on every primary that lacks one.
func (v *vetting) load(ctx context.Context) error {
	for _, p := range v.primaries {
		if p.scripts.all {
			continue
		}
		if err := loadScripts(ctx, p.conn, v.scripts); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// stop deletes the marks of the partitions that the judgement stops, so that Redis refuses everybody who still calls
// them. It fails with errChanged if another process has vetted one of them since, because that process may have rebuilt
// the partition.
func (v *vetting) stop(ctx context.Context) error {
	for _, p := range v.primaries {
		var commands []rueidis.Completed
		for _, partition := range p.partitions {
			if v.stops(&v.findings, partition) {
				commands = append(commands, v.upkeep.deleteMark(p.conn.B(), partition, v.partitions[partition].mark))
			}
		}
		for _, answer := range p.conn.DoMulti(ctx, commands...) {
			done, err := answer.AsIntSlice()
			if err == nil && (len(done) != 1 || done[0] != 1) {
				err = errChanged
			}
			if err != nil {
				return fmt.Errorf("shut partitions on %s: %w", p, err)
			}
		}
	}
	return nil
}
