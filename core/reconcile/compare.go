package reconcile

import "sluice/core/stock"

// State is a position in a cell's history, with the balances there.
type State struct {
	stock.Position
	stock.Balances
}

// Status says how MySQL's projection of a cell compares with Redis.
type Status string

// The results of a comparison.
const (
	StatusInSync  Status = "in_sync" // the same position, the same balances
	StatusBehind  Status = "behind"  // MySQL has not got the last events yet
	StatusAhead   Status = "ahead"   // MySQL has events that Redis has lost
	StatusDrift   Status = "drift"   // the same position, other balances
	StatusMissing Status = "missing" // one of them does not know the cell, or neither does
)

// Difference says how one projection compares with Redis.
type Difference struct {
	Status Status
	Class  Class
	Behind int64 // events that MySQL lacks; 0: none, or it lacks an epoch
}

// Compare compares a cell in Redis with MySQL's projection of it. If a store does not know the cell, its state is nil.
// MySQL must be read first: then Redis has everything that MySQL had, unless Redis has lost it.
func Compare(redis, mysql *State) Difference {
	switch {
	case redis == nil && mysql == nil:
		return Difference{Status: StatusMissing, Class: InSync}
	case mysql == nil:
		return Difference{Status: StatusMissing, Class: InFlight}
	case redis == nil:
		return Difference{Status: StatusMissing, Class: Drift}
	case *redis == *mysql:
		return Difference{Status: StatusInSync, Class: InSync}
	case redis.Position == mysql.Position:
		return Difference{Status: StatusDrift, Class: Drift}
	case redis.Less(mysql.Position):
		return Difference{Status: StatusAhead, Class: Drift}
	}
	f := Difference{Status: StatusBehind, Class: InFlight}
	if redis.Epoch == mysql.Epoch {
		f.Behind = int64(redis.Seq - mysql.Seq)
	}
	return f
}
