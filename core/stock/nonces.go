package stock

import (
	"context"
	"errors"
)

// ErrReplaced tells that another process has replaced nonces first.
var ErrReplaced = errors.New("another process is opening redis at this moment")

// Vetting is what is kept of the last vetting of a partition's data. The zero value: there was none.
type Vetting struct {
	Nonce   uint64
	Effects uint64 // since then, the most that anybody has told of
}

// Nonces keeps, outside of the store, the nonce of the last vetting of each partition's data, and how many effects
// they have had since. The data carry both too, so that data which were lost, exchanged or set back are told from
// those that were vetted, also by a process that has never seen them.
type Nonces interface {
	// Identity tells them from those of other deployments. Empty: nobody knows.
	Identity(ctx context.Context) (string, error)
	// Read returns the vettings by partition.
	Read(ctx context.Context, partitions int) ([]Vetting, error)
	// Saw takes down, by partition, how many effects somebody has seen. Fewer than are known, or those of another
	// nonce, change nothing.
	Saw(ctx context.Context, seen []Vetting) error
	// Replace puts new nonces in the place of old ones, all or none, and fails with ErrReplaced where an old
	// one is no longer there. The new ones have no effects. Before anybody sees the new ones it calls during, whose error undoes all; nobody
	// else replaces a nonce of the same partitions meanwhile.
	Replace(ctx context.Context, changes []NonceChange, during func(context.Context) error) error
}

// NonceChange is a new nonce for a partition. Old is 0 where there was none.
type NonceChange struct {
	Partition int
	Old, New  uint64
}
