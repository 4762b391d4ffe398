// Package lifecycle starts the parts of a role, keeps them going, and stops them. Every service is built on it. It
// knows no store and no service.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// undoWithin bounds the time in which a failed start undoes its steps.
const undoWithin = 10 * time.Second

// Stack remembers how to undo a start, step by step. Its zero value is empty. One goroutine uses it at a time.
type Stack struct{ steps []undo }

type undo struct {
	what string
	do   func(context.Context) error
}

// Later adds something to do when the stack stops. The last addition is done first. what names it in errors.
func (s *Stack) Later(what string, do func(context.Context) error) {
	s.steps = append(s.steps, undo{what, do})
}

// Close is Later for a step that cannot fail and takes little time.
func (s *Stack) Close(what string, do func()) {
	s.Later(what, func(context.Context) error {
		do()
		return nil
	})
}

// Stop undoes all steps, the last one first. It goes on after a step that fails. The error joins all failures, each
// with the name of its step. A second Stop does nothing.
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

// undo is Stop with a time limit of its own, because the context of the start may have ended.
func (s *Stack) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	return s.Stop(ctx)
}
