package redisstock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// ErrVetting tells that a server was vetted and must not sell.
var ErrVetting = errors.New("redis stays shut")

// Evidence is what others know about the stock: MySQL's ledger and Kafka's end.
type Evidence interface {
	// Highest yields the highest position of each cell that it knows, cells in any order and any number of
	// times.
	Highest(ctx context.Context, yield func(stock.Cell, stock.Position) error) error
	// Forks yields each fork that nobody has dealt with: its cell, and the position that two different events have.
	// Redis has lost the one and gone on with the other, so its counters are wrong, however high they have come.
	Forks(ctx context.Context, yield func(stock.Cell, stock.Position) error) error
}

// OpenConfig is what Open holds a server to.
type OpenConfig struct {
	// Partitions is the number of partitions of the deployment. Required.
	Partitions int
	// Deployment is the deployment's id, so that nobody sells from another's Redis. Required.
	Deployment string
	// Evidence is what Redis must not be behind of. Required.
	Evidence Evidence
	// Nonces keeps the nonces of vettings. Required.
	Nonces stock.Nonces
	// Seen are the marks that the caller trusts, if it does. A partition that has fewer effects is vetted and
	// opened anew.
	Seen []PartitionMark
	// AllowNoPersistence accepts a server without append-only file, for development. Defaults to false.
	AllowNoPersistence bool
	// Log defaults to slog.Default().
	Log *slog.Logger

	scripts version
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

// OpenReport is what Open has found.
type OpenReport struct {
	Primaries []string // their addresses; one empty one where there is no cluster
	New       bool     // the deployment was born: Redis held nothing of it
	Positions int64    // of cells, as the evidence has them, several of some cells; Redis was compared with each
	Behind    int64    // of them, those that Redis is behind of
	Worst     []Behind // of these, those that lack the most, at most worstMax
	Forked    int      // cells with a fork that nobody has dealt with
	Lost      []int    // partitions that have lost something, which nobody may call

	Shut    int             // partitions that are shut, as Inspect has found
	Renewed int             // partitions that were shut and now are open
	Marks   []PartitionMark // by partition, for Store.Trust; zero where it is shut
}

// Behind is a cell of which Redis has lost effects.
type Behind struct {
	Cell  stock.Cell
	Redis stock.Position // zero if the cell is not there
	Known stock.Position
}

// String is the finding as people read it.
func (b Behind) String() string {
	return fmt.Sprintf("%v is at epoch %d seq %d, known is epoch %d seq %d",
		b.Cell, b.Redis.Epoch, b.Redis.Seq, b.Known.Epoch, b.Known.Seq)
}

// openTries is how often Open begins anew because another process opens Redis too, or has changed it meanwhile.
const openTries = 5

// Open vets every primary and, only if nothing speaks against any of them, gives the partitions that are shut
// a new nonce and loads the scripts, upon which they sell. Lost effects, a fork, or a key that is gone, speak
// against their partition alone: it is shut, also if it sold, and the report's marks are those of the others. The error
// wraps ErrVetting if something does, and names each cause; other errors tell that vetting could not be finished. It may be
// repeated at any time, also on servers that sell, and by several processes at once.
func Open(ctx context.Context, client rueidis.Client, cfg OpenConfig) (OpenReport, error) {
	if err := cfg.Validate(); err != nil {
		return OpenReport{}, fmt.Errorf("configure opening of redis: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	for try := 1; ; try++ {
		report, err := open(ctx, client, cfg)
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
	missing, err := v.inspect(ctx)
	if err == nil && len(v.causes) == 0 && missing {
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
		if v.sound {
			v.report.Marks = v.proven()
		}
		err := fmt.Errorf("%w: %s", ErrVetting, strings.Join(v.against(), "; "))
		return v.report, errors.Join(err, v.stop(ctx))
	}
	err = v.stop(ctx) // before scripts are loaded, upon which it would sell
	if err == nil {
		err = v.renew(ctx)
	}
	if err != nil {
		v.report.Marks = nil
		return v.report, fmt.Errorf("open redis: %w", err)
	}
	if len(v.partly) > 0 {
		return v.report, fmt.Errorf("%w in part: %s", ErrVetting, strings.Join(v.partly, "; "))
	}
	cfg.Log.Info("redis is open", "primaries", len(v.primaries), "new", v.report.New,
		"partitions_opened", v.report.Renewed, "positions_compared", v.report.Positions)
	return v.report, nil
}

// Inspect is what Open would object to now, one cause each, without changing anything. An error tells
// that it could not find out.
func Inspect(ctx context.Context, client rueidis.Client, cfg OpenConfig) (OpenReport, []string, error) {
	if err := cfg.Validate(); err != nil {
		return OpenReport{}, nil, fmt.Errorf("configure inspection of redis: %w", err)
	}
	v, err := newVetting(client, cfg)
	if err != nil {
		return OpenReport{}, nil, err
	}
	defer v.disconnect()
	missing, err := v.inspect(ctx)
	if err != nil {
		return v.report, nil, fmt.Errorf("inspect redis: %w", err)
	}
	v.report.New = missing
	for p := range cfg.Partitions {
		if v.shut(p) {
			v.report.Shut++
		}
	}
	return v.report, v.against(), nil
}
