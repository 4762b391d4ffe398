package stock

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What can go wrong with a call, apart from refusals, which are verdicts. Every error of a Store
// wraps exactly one of them.
var (
	// ErrNotApplied tells that nothing was executed; the call can be repeated.
	ErrNotApplied = errors.New("not executed")
	// ErrFull is an ErrNotApplied: the server's memory is full, and it takes only what frees some.
	ErrFull = fmt.Errorf("%w: the memory of the server is full", ErrNotApplied)
	// ErrShut tells that nothing was executed because the server does not have the data that were
	// vetted, or the caller does not trust them yet: see redisstock.Open.
	ErrShut = errors.New("not executed: the server is shut until it is vetted")
	// ErrUnknown tells that the call may or may not have been executed. Repeating it with the same
	// ids settles it.
	ErrUnknown = errors.New("outcome unknown")
	// ErrProtocol tells of a bug: a malformed call, or an answer that cannot be read. An effect is
	// possible.
	ErrProtocol = errors.New("protocol error")
)

// PartitionErrors collects what failed in which partitions, and tells what failed alike once: a server
// that is away has many of them. The zero value is empty.
type PartitionErrors struct {
	alike []*alike
	by    map[string]*alike // by what they say
}

type alike struct {
	err        error
	partitions []int
}

// Add takes the error of a partition.
func (e *PartitionErrors) Add(partition int, err error) {
	said := err.Error()
	a := e.by[said]
	if a == nil {
		a = &alike{err: err}
		if e.by == nil {
			e.by = map[string]*alike{}
		}
		e.by[said] = a
		e.alike = append(e.alike, a)
	}
	a.partitions = append(a.partitions, partition)
}

// List is one error for all that say the same, with its partitions, in the order of the first ones.
func (e *PartitionErrors) List() []error {
	var list []error
	for _, a := range e.alike {
		list = append(list, fmt.Errorf("%s: %w", PartitionsText(a.partitions), a.err))
	}
	return list
}

// Err is all errors joined, nil if there are none.
func (e *PartitionErrors) Err() error { return errors.Join(e.List()...) }

// PartitionsText names partitions, as "partitions 0-2, 7".
func PartitionsText(partitions []int) string {
	partitions = slices.Sorted(slices.Values(partitions))
	if len(partitions) == 1 {
		return fmt.Sprintf("partition %d", partitions[0])
	}
	var ranges []string
	for from := 0; from < len(partitions); {
		to := from
		for to+1 < len(partitions) && partitions[to+1] <= partitions[to]+1 {
			to++
		}
		if text := strconv.Itoa(partitions[from]); from == to {
			ranges = append(ranges, text)
		} else {
			ranges = append(ranges, fmt.Sprintf("%s-%d", text, partitions[to]))
		}
		from = to + 1
	}
	return "partitions " + strings.Join(ranges, ", ")
}
