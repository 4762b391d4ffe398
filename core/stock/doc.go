// Package stock owns the words and rules of stock: cells, reservations, verdicts, and the Store that
// decides vectors of requests. It does no I/O; memstock is its model in memory and redisstock its
// home in Redis.
package stock
