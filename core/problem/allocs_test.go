//go:build !race

package problem_test

import (
	"testing"

	"sluice/core/problem"
)

// Edges refuse far more than they accept.
func TestAppendAllocatesNothing(t *testing.T) {
	p := &problem.Problem{Kind: problem.WrongState, Detail: "d", Pointer: "/p", State: "released"}
	id, buf := []byte("9f"), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = p.Append(buf[:0], id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
