// Package lifecycle starts, keeps going and stops the parts of a role: every service is made of it. It knows no
// store and no service.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// undoWithin bounds what a failed start may take to end what it has begun.
const undoWithin = 10 * time.Second

// Stack remembers how to undo a start, step by step. Its zero value is empty. One goroutine uses it at a time.
type Stack struct{ steps []undo }

type undo struct {
	what string
	do   func(context.Context) error
}

// Later has something undone when the stack stops, before what was given to it earlier. what names it in errors.
func (s *Stack) Later(what string, do func(context.Context) error) {
	s.steps = append(s.steps, undo{what, do})
}

// Close is Later for what neither fails nor takes long.
func (s *Stack) Close(what string, do func()) {
	s.Later(what, func(context.Context) error {
		do()
		return nil
	})
}

// Stop undoes everything, the last step first, also after one that fails. The error joins all failures, each with
// what it was about. A second Stop does nothing.
func (s *Stack) Stop(ctx context.Context) error {
	var faults []error
	for _, u := range slices.Backward(s.steps) {
		if err := u.do(ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", u.what, err))
		}
	}
	s.steps = nil
	return errors.Join(faults...)
}

// Start takes the steps of a start in their order. If one fails, Start stops the stack, also if ctx has ended.
func (s *Stack) Start(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return errors.Join(err, s.undo(ctx))
		}
	}
	return nil
}

// undo is Stop within a time of its own: the context of the start may have ended.
func (s *Stack) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	return s.Stop(ctx)
}
