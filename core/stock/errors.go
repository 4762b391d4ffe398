package stock

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The errors of a call. A refusal is a verdict and no error. Every error of a Store wraps exactly one of these.
var (
	// ErrNotApplied means that nothing was executed. The call can be repeated.
	ErrNotApplied = errors.New("not executed")
	// ErrFull is an ErrNotApplied: the server's memory is full, and it executes only calls that free some.
	ErrFull = fmt.Errorf("%w: the memory of the server is full", ErrNotApplied)
	// ErrUnreached is an ErrNotApplied: there was no connection to the server.
	ErrUnreached = fmt.Errorf("%w: no connection to the server", ErrNotApplied)
	// ErrLoading is an ErrNotApplied: the server reads its data from its disk, and executes nothing before it has them.
	ErrLoading = fmt.Errorf("%w: the server loads its data", ErrNotApplied)
	// ErrShut means that nothing was executed, because the server does not have the vetted data, or the caller does not
	// trust them yet. See redisstock.Open.
	ErrShut = errors.New("not executed: the server is shut until it is vetted")
	// ErrUnknown means that nobody knows whether the call was executed. Repeating it with the same ids tells.
	ErrUnknown = errors.New("outcome unknown")
	// ErrProtocol means a bug: a malformed call, or an answer that cannot be read. The call may have had an effect.
	ErrProtocol = errors.New("protocol error")
)

// PartitionErrors collects errors by partition, and reports equal errors once, because a server that is away has many
// partitions. The zero value is empty.
type PartitionErrors struct {
	alike []*alike
	by    map[string]*alike // by their texts
}

type alike struct {
	err        error
	partitions []int
}

// Add adds the error of a partition.
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

// List returns one error for all errors with the same text. It names their partitions. The order is that of the first
// partitions.
func (e *PartitionErrors) List() []error {
	var list []error
	for _, a := range e.alike {
		list = append(list, fmt.Errorf("%s: %w", PartitionsText(a.partitions), a.err))
	}
	return list
}

// Err returns all errors joined, or nil if there are none.
func (e *PartitionErrors) Err() error { return errors.Join(e.List()...) }

// PartitionsText names partitions, for example "partitions 0-2, 7".
func PartitionsText(partitions []int) string {
	if len(partitions) == 1 {
		return fmt.Sprintf("partition %d", partitions[0])
	}
	return "partitions " + PartitionRanges(partitions)
}

// PartitionRanges lists partitions, for example "0-2, 7".
func PartitionRanges(partitions []int) string {
	partitions = slices.Sorted(slices.Values(partitions))
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
	return strings.Join(ranges, ", ")
}
