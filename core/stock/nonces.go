package stock

import (
	"context"
	"errors"
)

// ErrReplaced tells that another process has replaced nonces first.
var ErrReplaced = errors.New("another process is opening redis at this moment")

// Nonces keeps, outside of the store, the nonce of the last vetting of each partition's data. The data carry
// it too, so that data which were lost, exchanged or set back are told from those that were vetted.
type Nonces interface {
	// Read returns them by partition, 0 where there was no vetting.
	Read(ctx context.Context, partitions int) ([]uint64, error)
	// Replace puts new nonces in the place of old ones, all or none, and fails with ErrReplaced where an old
	// one is no longer there. Before anybody sees the new ones it calls during, whose error undoes all; nobody
	// else replaces a nonce of the same partitions meanwhile.
	Replace(ctx context.Context, changes []NonceChange, during func(context.Context) error) error
}

// NonceChange is a new nonce for a partition. Old is 0 where there was none.
type NonceChange struct {
	Partition int
	Old, New  uint64
}
