package redisstock

// CellsKey is the key of a partition's cells.
func CellsKey(partition int) string { return keysOf(partition).cells }

// OutboxKey is the key of a partition's outbox.
func OutboxKey(partition int) string { return keysOf(partition).outbox }
