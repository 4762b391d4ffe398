package lifecycle

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Group is the background work that begins and ends together.
type Group struct {
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // it ends with the group, not with a call
	cancel context.CancelFunc

	mu      sync.Mutex
	running []string // names of work that has not ended
	done    sync.WaitGroup
}

// NewGroup makes a group without work. The caller stops it.
func NewGroup(log *slog.Logger) *Group {
	g := &Group{log: log}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Go runs work until it returns by itself or the group stops. Its error is logged under its name.
func (g *Group) Go(name string, work func(context.Context) error) {
	g.mu.Lock()
	g.running = append(g.running, name)
	g.mu.Unlock()
	g.done.Go(func() {
		defer g.ended(name)
		if err := work(g.ctx); err != nil && g.ctx.Err() == nil {
			g.log.Error("background work ended", "work", name, "error", err)
		}
	})
}

// Run is Go for work that has no error.
func (g *Group) Run(name string, work func(context.Context)) {
	g.Go(name, func(ctx context.Context) error {
		work(ctx)
		return nil
	})
}

func (g *Group) ended(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.running, name)
	g.running = slices.Delete(g.running, i, i+1)
}

// Stop ends all work and waits for it, at most until ctx ends: the error then names what still runs.
func (g *Group) Stop(ctx context.Context) error {
	g.cancel()
	ended := make(chan struct{})
	go func() {
		g.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		return fmt.Errorf("still at work: %s: %w", strings.Join(g.running, ", "), ctx.Err())
	}
}
