package product

import (
	"context"
	"fmt"
	"sync"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/shard"
	"sluice/core/stock"
)

// blockSize is how many ids a process takes at once from the range of a shard. Those that it has not given out when it ends are lost:
// a range has 2^40.
const blockSize = 64

const takeBlock = "INSERT INTO product_blocks__ (shard, next) VALUES (?, LAST_INSERT_ID(?) + ?) ON DUPLICATE KEY UPDATE next = LAST_INSERT_ID(next) + ?"

// blocks has ids of products that nobody has yet, by shard.
type blocks struct {
	mu   sync.Mutex
	left map[uint16]block
}

type block struct{ next, end ids.Product }

// take gives out an id, if the process has one of the shard.
func (b *blocks) take(number uint16) (ids.Product, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.left[number]
	if of.next == of.end {
		return 0, false
	}
	b.left[number] = block{of.next + 1, of.end}
	return of.next, true
}

// put adds a block. What is left of one that is there is lost.
func (b *blocks) put(number uint16, of block) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == nil {
		b.left = map[uint16]block{}
	}
	b.left[number] = of
}

// drawProduct gives out an id in the range of a shard. The block is taken outside of any transaction, so that nobody waits for another
// one's commit.
func (p *Products) drawProduct(ctx context.Context, in shard.Shard) (ids.Product, error) {
	if id, ok := p.blocks.take(in.Number); ok {
		return id, nil
	}
	of, err := p.takeBlock(ctx, in, blockSize)
	if err != nil {
		return 0, err
	}
	p.blocks.put(in.Number, block{of.next + 1, of.end})
	return of.next, nil
}

// takeBlock takes so many ids that nobody else gets.
func (p *Products) takeBlock(ctx context.Context, in shard.Shard, size int) (block, error) {
	first, last := shard.ProductsOf(in.Number)
	at := p.databases.At(in)
	done, err := at.In(at.Writer()).ExecContext(ctx, takeBlock, in.Number, int64(first), size, size)
	if err != nil {
		return block{}, db.WriteError("take a block of ids", err)
	}
	next, err := done.LastInsertId()
	if err != nil {
		return block{}, fmt.Errorf("take a block of ids: %w: %w", stock.ErrNotApplied, err)
	}
	of := block{ids.Product(next), ids.Product(next + int64(size))}
	if of.next < first || of.end > last+1 {
		return block{}, fmt.Errorf("take a block of ids: %w: %s has none left", stock.ErrNotApplied, in)
	}
	return of, nil
}
