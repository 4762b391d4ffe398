package k6run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// vu is a virtual user: a runtime of its own that has run the script once, and then runs one of its functions again and again.
// One goroutine at a time uses it.
type vu struct {
	run     *run
	rt      *goja.Runtime
	exports *goja.Object
	guard   goja.Callable
	init    bool // the script itself is running, not one of its functions
	data    goja.Value
	expects func(status int) bool // of http.setResponseCallback

	// Of the call that is running.
	ctx       context.Context //nolint:containedctx // the script's calls have no place for it
	scenario  *running        // nil in setup, teardown and handleSummary
	iteration int64           // of the scenario
	tags      map[string]string
}

// errInterrupted ends scripts that go on for too long.
var errInterrupted = errors.New("interrupted")

// guardSource makes an object that refuses members that it has not.
var guardSource = goja.MustCompile("guard", `(function (name, members) {
	return new Proxy(members, {
		get(target, key) {
			if (typeof key === "symbol" || key === "toJSON" || key in target) return target[key];
			throw new Error(name + "." + key + " is not in this stand-in for k6");
		},
		set(target, key) { throw new Error(name + "." + key + " cannot be set"); },
	});
})`, true)

// newVU runs the script in a runtime of its own.
func (r *run) newVU() (*vu, error) {
	v := &vu{run: r, rt: goja.New(), init: true, expects: func(status int) bool { return status >= 200 && status < 400 }}
	guard, err := v.rt.RunProgram(guardSource)
	if err != nil {
		return nil, err
	}
	v.guard, _ = goja.AssertFunction(guard)
	module := v.rt.NewObject()
	exports := v.rt.NewObject()
	globals := map[string]any{
		"module": module, "exports": exports, "__ENV": r.cfg.Env, "__k6": v.module, "open": v.open,
		"console": v.guarded("console", map[string]any{"log": v.say, "info": v.say, "warn": v.say, "error": v.say}),
	}
	err = module.Set("exports", exports)
	for name, value := range globals {
		err = errors.Join(err, v.rt.Set(name, value))
	}
	if err == nil {
		_, err = v.rt.RunProgram(r.program)
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.cfg.Script, scriptError(err))
	}
	v.init = false
	v.exports = module.Get("exports").ToObject(v.rt)
	return v, nil
}

// guarded makes an object of functions and values that refuses other members.
func (v *vu) guarded(name string, members map[string]any) goja.Value {
	object := v.rt.NewObject()
	for member, value := range members {
		if err := object.Set(member, value); err != nil {
			panic(err) // a new object takes everything
		}
	}
	return v.guardedObject(name, object)
}

func (v *vu) guardedObject(name string, object *goja.Object) goja.Value {
	guarded, err := v.guard(goja.Undefined(), v.rt.ToValue(name), object)
	if err != nil {
		panic(err) // the function has no way to fail
	}
	return guarded
}

// throw ends the script's call with an error.
func (v *vu) throw(format string, values ...any) {
	panic(v.rt.NewGoError(fmt.Errorf(format, values...)))
}

// onlyInit refuses a call that k6 has in the script itself only.
func (v *vu) onlyInit(what string) {
	if !v.init {
		v.throw("%s: only outside functions, while the script is read", what)
	}
}

// notInit refuses a call that k6 has in functions only.
func (v *vu) notInit(what string) {
	if v.init {
		v.throw("%s: only in functions, not while the script is read", what)
	}
}

// open reads a file.
func (v *vu) open(call goja.FunctionCall) goja.Value {
	v.onlyInit("open")
	if len(call.Arguments) != 1 {
		v.throw("open: this stand-in reads texts, by open(PATH)")
	}
	path := call.Argument(0).String()
	if !filepath.IsAbs(path) {
		v.throw("open %q: k6 reads relative paths from the directory of a script: give an absolute one", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		v.throw("open: %w", err)
	}
	return v.rt.ToValue(string(text))
}

func (v *vu) say(call goja.FunctionCall) goja.Value {
	words := make([]string, len(call.Arguments))
	for i, a := range call.Arguments {
		words[i] = a.String()
	}
	v.run.logf("%s", strings.Join(words, " "))
	return goja.Undefined()
}

// call runs a function of the script until it returns or the context ends. A missing one returns undefined.
func (v *vu) call(ctx context.Context, name string, args ...goja.Value) (goja.Value, error) {
	function, ok := goja.AssertFunction(v.exports.Get(name))
	if !ok {
		return goja.Undefined(), nil
	}
	v.ctx = ctx
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		v.rt.Interrupt(errInterrupted)
		close(interrupted)
	})
	result, err := function(goja.Undefined(), args...)
	if !stop() {
		<-interrupted
		v.rt.ClearInterrupt() // one that came too late for this call must not end the next
	}
	if err != nil {
		return nil, scriptError(err)
	}
	return result, nil
}

// scriptError is the error of a script with its place, or that it was interrupted.
func scriptError(err error) error {
	if interrupted := new(goja.InterruptedError); errors.As(err, &interrupted) {
		return errInterrupted
	}
	if thrown := new(goja.Exception); errors.As(err, &thrown) {
		return errors.New(thrown.String())
	}
	return err
}

// iterate runs the scenario's function once.
func (v *vu) iterate(ctx context.Context, s *running, n int64) {
	v.scenario, v.iteration, v.tags = s, n, s.tags
	start := time.Now()
	_, err := v.call(ctx, s.Exec, v.data)
	switch {
	case errors.Is(err, errInterrupted):
		v.run.interrupted.Add(1)
		return
	case err != nil:
		v.run.exception(err)
	}
	v.run.metrics.note("iterations", 1, v.tags)
	v.run.metrics.note("iteration_duration", milliseconds(time.Since(start)), v.tags)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
