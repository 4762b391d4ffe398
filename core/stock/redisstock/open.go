package redisstock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/lua"
)

// ErrVetting tells that a server was vetted and must not sell.
var ErrVetting = errors.New("redis stays shut")

// Evidence is what others know about the stock: MySQL's ledger and Kafka's end.
type Evidence interface {
	// Highest yields the highest mark of each cell that it knows, cells in any order and any number of
	// times.
	Highest(ctx context.Context, yield func(stock.Cell, stock.Mark) error) error
}

// OpenConfig is what Open holds a server to.
type OpenConfig struct {
	// Partitions is the number of partitions of the deployment. Required.
	Partitions int
	// Deployment is the deployment's id, so that nobody sells from another's Redis. Required.
	Deployment string
	// Evidence is what Redis must not be behind of. Required.
	Evidence Evidence
	// AllowNoPersistence accepts a server without append-only file, for development. Defaults to false.
	AllowNoPersistence bool
	// Log defaults to slog.Default().
	Log *slog.Logger
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
	return errors.Join(faults...)
}

// OpenReport is what Open has found.
type OpenReport struct {
	Primaries []string // their addresses; one empty one where there is no cluster
	New       bool     // the deployment was born: Redis held nothing of it
	Marks     int64    // of cells, compared with the evidence
	Behind    int64    // of them, those that Redis is behind of
	Worst     []Behind // of these, those that lack the most, at most worstMax
}

// Behind is a cell of which Redis has lost effects.
type Behind struct {
	Cell  stock.Cell
	Redis stock.Mark // zero if the cell is not there
	Known stock.Mark
}

// String is the finding as people read it.
func (b Behind) String() string {
	return fmt.Sprintf("%v is at epoch %d seq %d, known is epoch %d seq %d",
		b.Cell, b.Redis.Epoch, b.Redis.Seq, b.Known.Epoch, b.Known.Seq)
}

// Open vets every primary and, only if nothing speaks against any of them, loads the scripts, upon
// which the server sells. The error wraps ErrVetting if something does, and names each cause; other
// errors tell that vetting could not be finished. It may be repeated at any time, also on a server
// that sells, and by several processes at once.
func Open(ctx context.Context, client rueidis.Client, cfg OpenConfig) (OpenReport, error) {
	if err := cfg.Validate(); err != nil {
		return OpenReport{}, fmt.Errorf("configure opening of redis: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	v := &vetting{client: client, cfg: cfg}
	// Scripts are loaded through the connections that the vetting began with. A server that restarts
	// in between, and may have lost its tail, cannot be reached through them.
	defer v.disconnect()
	if err := v.run(ctx); err != nil {
		return v.report, fmt.Errorf("vet redis: %w", err)
	}
	if len(v.causes) > 0 {
		return v.report, fmt.Errorf("%w: %s", ErrVetting, strings.Join(v.causes, "; "))
	}
	if err := v.load(ctx); err != nil {
		return v.report, fmt.Errorf("load scripts: %w", err)
	}
	cfg.Log.Info("redis is open", "primaries", len(v.primaries), "new", v.report.New, "cells_checked", v.report.Marks)
	return v.report, nil
}

// Inspect is what Open would object to now, one cause each, without changing anything. An error tells
// that it could not find out.
func Inspect(ctx context.Context, client rueidis.Client, cfg OpenConfig) (OpenReport, []string, error) {
	if err := cfg.Validate(); err != nil {
		return OpenReport{}, nil, fmt.Errorf("configure inspection of redis: %w", err)
	}
	v := &vetting{client: client, cfg: cfg}
	defer v.disconnect()
	missing, err := v.inspect(ctx)
	if err != nil {
		return v.report, nil, fmt.Errorf("inspect redis: %w", err)
	}
	v.report.New = missing
	return v.report, v.causes, nil
}

// Shut reports whether any primary lacks a script: it is not open, or not since it restarted.
func (s *Store) Shut(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	sums := make([]string, 0, len(s.scripts))
	for _, script := range s.scripts {
		sums = append(sums, script.SHA1)
	}
	primaries, err := primariesOf(ctx, s.client)
	if err != nil {
		return false, wrap("look for scripts", err)
	}
	for _, p := range primaries {
		there, err := p.client.Do(ctx, p.client.B().ScriptExists().Sha1(sums...).Build()).AsIntSlice()
		if err != nil {
			return false, wrap("look for scripts", err)
		}
		if slices.Contains(there, 0) {
			return true, nil
		}
	}
	return false, nil
}

// load loads every script on every primary.
func (v *vetting) load(ctx context.Context) error {
	scripts, err := lua.All()
	if err != nil {
		return err
	}
	for _, p := range v.primaries {
		for _, script := range scripts {
			sum, err := p.conn.Do(ctx, p.conn.B().ScriptLoad().Script(script.Source).Build()).ToString()
			if err != nil {
				return fmt.Errorf("%s on %s: %w", script.Name, p, err)
			}
			if sum != script.SHA1 {
				return fmt.Errorf("%s on %s: loaded as %s, want %s", script.Name, p, sum, script.SHA1)
			}
		}
	}
	return nil
}
