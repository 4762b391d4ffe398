package redisstock

import "strconv"

// keys are the names of a partition's keys. Their common hash tag keeps them in one slot.
type keys struct {
	prefix                                                 string
	mark, cells, res, due, gone, outbox, meta, relay, wait string
	buyers0                                                string // of pool 0
}

func keysOf(partition int) keys {
	p := "{p" + strconv.Itoa(partition) + "}:"
	return keys{
		prefix:  p,
		mark:    p + "mark",
		cells:   p + "cells",
		res:     p + "res",
		due:     p + "due",
		gone:    p + "gone",
		outbox:  p + "outbox",
		meta:    p + "meta",
		relay:   p + "relay",
		wait:    p + "wait",
		buyers0: p + "buyers:0",
	}
}

// buyers is the key of the buyers of a pool. A finished pool's key can be unlinked whole.
func (k *keys) buyers(pool uint32) string {
	if pool == 0 {
		return k.buyers0
	}
	return k.prefix + "buyers:" + strconv.FormatUint(uint64(pool), 10)
}
