package text_test

import (
	"errors"
	"testing"

	"sluice/core/text"
)

// panicked is what a function panics with.
func panicked(f func()) (said any) {
	defer func() { said = recover() }()
	f()
	return nil
}

func TestPanicsTellNothingOfOthers(t *testing.T) {
	t.Parallel()
	var items []int
	var members map[string]int
	for _, c := range []struct {
		does func()
		want string
	}{
		{func() { _ = items[7] }, "runtime error: index out of range [7] with length 0"},
		{func() { members["canary"] = 1 }, "assignment to entry in nil map"},
		{func() { _ = any("canary").(int) }, "interface conversion: interface {} is string, not int"},
		{func() { panic("canary") }, "a string"},
		{func() { panic(errors.New("canary")) }, "a *errors.errorString"},
	} {
		if got := text.Panic(panicked(c.does)); got != c.want {
			t.Errorf("told as %q, want %q", got, c.want)
		}
	}
}
