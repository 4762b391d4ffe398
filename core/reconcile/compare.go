package reconcile

import "sluice/core/stock"

// State is a place in a cell's history, and the balances there.
type State struct {
	stock.Position
	stock.Balances
}

// Status is how MySQL's projection of a cell stands to Redis.
type Status string

// What a comparison finds.
const (
	StatusInSync  Status = "in_sync" // the same place, the same balances
	StatusBehind  Status = "behind"  // MySQL has not got the last events yet
	StatusAhead   Status = "ahead"   // MySQL has events that Redis lacks: Redis has lost them
	StatusDrift   Status = "drift"   // the same place, other balances
	StatusMissing Status = "missing" // one of them, or both, do not know the cell
)

// Standing is how one projection stands to Redis.
type Standing struct {
	Status Status
	Class  Class
	Behind int64 // events that MySQL lacks; 0: none, or it lacks an epoch
}

// Compare compares a cell in Redis with MySQL's projection of it; nil where one does not know the cell. MySQL was read
// first: what it had by then, Redis has too, unless Redis lost it.
func Compare(redis, mysql *State) Standing {
	switch {
	case redis == nil && mysql == nil:
		return Standing{Status: StatusMissing, Class: InSync}
	case mysql == nil:
		return Standing{Status: StatusMissing, Class: InFlight}
	case redis == nil:
		return Standing{Status: StatusMissing, Class: Drift}
	case *redis == *mysql:
		return Standing{Status: StatusInSync, Class: InSync}
	case redis.Position == mysql.Position:
		return Standing{Status: StatusDrift, Class: Drift}
	case redis.Less(mysql.Position):
		return Standing{Status: StatusAhead, Class: Drift}
	}
	f := Standing{Status: StatusBehind, Class: InFlight}
	if redis.Epoch == mysql.Epoch {
		f.Behind = int64(redis.Seq - mysql.Seq)
	}
	return f
}
