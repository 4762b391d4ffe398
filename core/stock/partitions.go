package stock

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
		list = append(list, fmt.Errorf("%s: %w", partitionsText(a.partitions), a.err))
	}
	return list
}

// Err is all errors joined, nil if there are none.
func (e *PartitionErrors) Err() error { return errors.Join(e.List()...) }

// partitionsText names partitions, as "partitions 0-2, 7".
func partitionsText(partitions []int) string {
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
