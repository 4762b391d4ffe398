package redisstock

import (
	"context"

	"sluice/core/stock"
	"sluice/lua"
)

// UseScripts has all that is made from now on load and call scripts other than the true ones.
func UseScripts(scripts []lua.Script) {
	allScripts = of(scripts)
}

// UseUpkeep has all that is made from now on send another upkeep script in the place of the one of its name.
func UseUpkeep(other lua.Script) {
	upkeepScript = func(name string) (lua.Script, error) {
		if "upkeep/"+name == other.Name {
			return other, nil
		}
		return lua.Upkeep(name)
	}
}

// SetVersion has a store call other scripts than this program's, and load those.
func (c *Config) SetVersion(scripts []lua.Script) { c.scripts = of(scripts) }

// SetVersion has a vetting load other scripts than this program's.
func (c *OpenConfig) SetVersion(scripts []lua.Script) { c.scripts = of(scripts) }

// WriteRecordsOneByOne has a rebuilt cell's records be written each by a call of its own.
func (c *OpenConfig) WriteRecordsOneByOne() { c.records = 1 }

// KillAfterParts has a rebuild end with an error after so many parts.
func (c *OpenConfig) KillAfterParts(n int, err error) {
	c.wrote = func() error {
		if n--; n == 0 {
			return err
		}
		return nil
	}
}

func of(scripts []lua.Script) version {
	return func() ([]lua.Script, error) { return scripts, nil }
}

// Keys of a partition, for tests that look at them or spoil them.

func MarkKey(partition int) string      { return keysOf(partition).mark }
func CellsKey(partition int) string     { return keysOf(partition).cells }
func ResKey(partition int) string       { return keysOf(partition).res }
func DueKey(partition int) string       { return keysOf(partition).due }
func GoneKey(partition int) string      { return keysOf(partition).gone }
func OutboxKey(partition int) string    { return keysOf(partition).outbox }
func BasketsKey(partition int) string   { return keysOf(partition).baskets }
func UndecidedKey(partition int) string { return keysOf(partition).undecided }
func MetaKey(partition int) string      { return keysOf(partition).meta }
func WaitKey(partition int) string      { return keysOf(partition).wait }
func RelayKey(partition int) string     { return keysOf(partition).relay }

// PackMark is a mark as Redis has it.
func PackMark(m stock.Mark) string { return string(appendMark(nil, m)) }

func BuyersKey(partition int, pool uint32) string {
	k := keysOf(partition)
	return k.buyers(pool)
}

func RegisteredKey(partition int, sale uint32) string {
	k := keysOf(partition)
	return k.registered(sale)
}

// TrustAll trusts whatever marks Redis has.
func (s *Store) TrustAll(ctx context.Context) error {
	found, err := s.readMarks(ctx)
	marks := make([]stock.Mark, len(found))
	for p := range found {
		marks[p] = found[p].Mark
	}
	s.Trust(marks)
	return err
}

// ExpireMembers calls expire.lua with members of due, as a sweeper does that has read them earlier.
func (s *Store) ExpireMembers(ctx context.Context, partition int, members ...string) (stock.Sweep, error) {
	var sweep stock.Sweep
	err := s.expire(ctx, partition, members, &sweep)
	return sweep, err
}

// ScriptCommands are the commands whose rights are asked for.
var ScriptCommands = scriptCommands

// Register adds users to a set, and returns how many are new.
func (s *Store) Register(ctx context.Context, partition int, sale uint32, users []int64) (added int, err error) {
	all, err := s.RegisterAll(ctx, []UserSet{{Partition: partition, Sale: sale}}, users)
	if err != nil {
		return 0, err
	}
	return all[0], nil
}
