// Package tally counts the calls to servers that a piece of work makes. A call is one round trip, however many commands
// it carries.
package tally

import (
	"context"
	"sync/atomic"
)

type key struct{}

// Count returns a context, and a counter of the calls that are made with it or with a context derived from it.
func Count(ctx context.Context) (context.Context, *atomic.Int64) {
	n := new(atomic.Int64)
	return context.WithValue(ctx, key{}, n), n
}

// Add counts calls, if somebody counts.
func Add(ctx context.Context, calls int64) {
	if n, counted := ctx.Value(key{}).(*atomic.Int64); counted {
		n.Add(calls)
	}
}
