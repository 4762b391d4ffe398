// Package redisstock is stock.Store in Redis. It owns the names of all keys and the layout of all
// packed values (docs/redis-keys.md), and is the only caller of the scripts in package lua.
//
// It sends EVALSHA, but for upkeep (upkeep.go), and never loads a script on its way: a server that does not know a script has
// restarted or was promoted and may have lost acknowledged effects. Open vets such a server and loads
// the scripts last, so that loaded scripts are the sign that a server may sell.
package redisstock
