package k6run

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math"
	"time"

	"github.com/dop251/goja"
	"github.com/go-json-experiment/json"
)

// module makes a module for a user's runtime. bundle has let only known names through.
func (v *vu) module(name string) goja.Value {
	return v.guarded(name, map[string]map[string]any{
		"k6":           {"check": v.check, "sleep": v.sleep},
		"k6/crypto":    {"hmac": v.hmac},
		"k6/data":      {"SharedArray": v.sharedArray},
		"k6/encoding":  {"b64encode": v.b64encode, "b64decode": v.b64decode},
		"k6/execution": {"scenario": v.scenarioInfo()},
		"k6/http": {
			"request": v.httpRequest, "batch": v.httpBatch,
			"expectedStatuses": v.expectedStatuses, "setResponseCallback": v.setResponseCallback,
		},
		"k6/metrics": {"Counter": v.metricOf(counter), "Rate": v.metricOf(rate), "Trend": v.metricOf(trend)},
	}[name])
}

func (v *vu) sleep(seconds float64) {
	v.notInit("sleep")
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	case <-v.ctx.Done(): // the runtime is interrupted
	}
}

// check evaluates functions of a value, or takes values as they are.
func (v *vu) check(call goja.FunctionCall) goja.Value {
	v.notInit("check")
	all := true
	sets := call.Argument(1).ToObject(v.rt)
	for _, name := range sets.Keys() {
		result := sets.Get(name)
		if function, ok := goja.AssertFunction(result); ok {
			var err error
			if result, err = function(goja.Undefined(), call.Argument(0)); err != nil {
				panic(err)
			}
		}
		passed := result.ToBoolean()
		all = all && passed
		v.run.checked(name, passed)
		v.run.metrics.note("checks", number(passed), v.with(v.tagsOf(call.Argument(2)), map[string]string{"check": name}))
	}
	return v.rt.ToValue(all)
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// metricOf is the constructor of a kind of metric.
func (v *vu) metricOf(k kind) func(goja.ConstructorCall) *goja.Object {
	return func(call goja.ConstructorCall) *goja.Object {
		v.onlyInit("new metric")
		m, err := v.run.metrics.declare(call.Argument(0).String(), k, call.Argument(1).ToBoolean())
		if err != nil {
			v.throw("%w", err)
		}
		return v.guarded(m.name, map[string]any{"name": m.name, "add": func(call goja.FunctionCall) goja.Value {
			v.notInit(m.name + ".add")
			value := call.Argument(0).ToFloat()
			if math.IsNaN(value) || math.IsInf(value, 0) {
				v.throw("%s.add(%s): want a number", m.name, call.Argument(0))
			}
			m.add(value, v.with(v.tagsOf(call.Argument(1)), nil))
			return goja.Undefined()
		}}).ToObject(v.rt)
	}
}

// tagsOf reads tags that a script gives with a sample.
func (v *vu) tagsOf(given goja.Value) map[string]string {
	if given == nil || goja.IsUndefined(given) || goja.IsNull(given) {
		return nil
	}
	tags := map[string]string{}
	object := given.ToObject(v.rt)
	for _, name := range object.Keys() {
		tags[name] = object.Get(name).String()
	}
	return tags
}

// with are the tags of the running scenario, and others over them.
func (v *vu) with(tags ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, some := range append([]map[string]string{v.tags}, tags...) {
		for name, value := range some {
			all[name] = value
		}
	}
	return all
}

// info makes an object whose members are computed when they are read.
func (v *vu) info(name string, members map[string]func() any) goja.Value {
	object := v.rt.NewObject()
	for member, read := range members {
		getter := v.rt.ToValue(func() any {
			if v.scenario == nil {
				v.throw("%s.%s: only in functions of a scenario", name, member)
			}
			return read()
		})
		if err := object.DefineAccessorProperty(member, getter, nil, goja.FLAG_FALSE, goja.FLAG_TRUE); err != nil {
			panic(err) // a new object takes everything
		}
	}
	return v.guardedObject(name, object)
}

func (v *vu) scenarioInfo() goja.Value {
	return v.info("scenario", map[string]func() any{
		"progress":        func() any { return min(float64(time.Since(v.scenario.start))/float64(v.scenario.Duration), 1) },
		"iterationInTest": func() any { return v.iteration },
	})
}

// sharedArray is the constructor of an array that is made once for all users, and cannot be changed.
func (v *vu) sharedArray(call goja.ConstructorCall) *goja.Object {
	v.onlyInit("new SharedArray")
	list, ok := goja.AssertFunction(call.Argument(1))
	if !ok {
		v.throw("new SharedArray: want a name and a function")
	}
	items, err := v.run.share(call.Argument(0).String(), func() (items []string, err error) {
		made, err := list(goja.Undefined())
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(made.Export())
		if err != nil {
			return nil, err
		}
		var values []any
		if err := json.Unmarshal(text, &values); err != nil {
			return nil, err
		}
		for _, value := range values {
			item, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			items = append(items, string(item))
		}
		return items, nil
	})
	if err != nil {
		v.throw("new SharedArray: want a function that returns an array: %w", err)
	}
	return v.rt.NewDynamicArray(shared{v, items})
}

// shared is a SharedArray as one user sees it: each reading gives a copy.
type shared struct {
	v     *vu
	items []string
}

// Len implements goja.DynamicArray.
func (s shared) Len() int { return len(s.items) }

// Get implements goja.DynamicArray.
func (s shared) Get(i int) goja.Value {
	if i < 0 || i >= len(s.items) {
		return goja.Undefined()
	}
	return s.v.parse(s.items[i])
}

// Set implements goja.DynamicArray.
func (s shared) Set(int, goja.Value) bool {
	s.v.throw("a SharedArray cannot be changed")
	return false
}

// SetLen implements goja.DynamicArray.
func (s shared) SetLen(int) bool { return s.Set(0, nil) }

// parse and stringify are those of JSON in the runtime.
func (v *vu) parse(text string) goja.Value { return v.json("parse", v.rt.ToValue(text)) }

func (v *vu) stringify(value goja.Value) string {
	text := v.json("stringify", value)
	if goja.IsUndefined(text) {
		return "null"
	}
	return text.String()
}

func (v *vu) json(name string, value goja.Value) goja.Value {
	object := v.rt.GlobalObject().Get("JSON").ToObject(v.rt)
	function, _ := goja.AssertFunction(object.Get(name))
	result, err := function(object, value)
	if err != nil {
		panic(err)
	}
	return result
}

// bytesOf are those of a text or an ArrayBuffer.
func (v *vu) bytesOf(value goja.Value) []byte {
	switch x := value.Export().(type) {
	case string:
		return []byte(x)
	case goja.ArrayBuffer:
		return x.Bytes()
	}
	v.throw("%s: want a text or an ArrayBuffer", value)
	return nil
}

var variants = map[string]*base64.Encoding{
	"": base64.StdEncoding, "std": base64.StdEncoding, "rawstd": base64.RawStdEncoding, "url": base64.URLEncoding, "rawurl": base64.RawURLEncoding,
}

func (v *vu) variant(name goja.Value) *base64.Encoding {
	word := ""
	if !goja.IsUndefined(name) {
		word = name.String()
	}
	found := variants[word]
	if found == nil {
		v.throw("base64: %q is not known", word)
	}
	return found
}

func (v *vu) b64encode(call goja.FunctionCall) goja.Value {
	return v.rt.ToValue(v.variant(call.Argument(1)).EncodeToString(v.bytesOf(call.Argument(0))))
}

func (v *vu) b64decode(call goja.FunctionCall) goja.Value {
	if len(call.Arguments) > 2 {
		v.throw("b64decode: this stand-in gives an ArrayBuffer only")
	}
	decoded, err := v.variant(call.Argument(1)).DecodeString(call.Argument(0).String())
	if err != nil {
		v.throw("b64decode: %w", err)
	}
	return v.rt.ToValue(v.rt.NewArrayBuffer(decoded))
}

// hmac is that of SHA-256.
func (v *vu) hmac(call goja.FunctionCall) goja.Value {
	if call.Argument(0).String() != "sha256" {
		v.throw("hmac: %s: this stand-in has sha256 only", call.Argument(0))
	}
	mac := hmac.New(sha256.New, v.bytesOf(call.Argument(1)))
	mac.Write(v.bytesOf(call.Argument(2)))
	sum := mac.Sum(nil)
	switch encoding := call.Argument(3).String(); encoding {
	case "hex":
		return v.rt.ToValue(hex.EncodeToString(sum))
	case "base64":
		return v.rt.ToValue(base64.StdEncoding.EncodeToString(sum))
	case "base64url":
		return v.rt.ToValue(base64.URLEncoding.EncodeToString(sum))
	case "base64rawurl":
		return v.rt.ToValue(base64.RawURLEncoding.EncodeToString(sum))
	default:
		v.throw("hmac: encoding %q: this stand-in has hex, base64, base64url and base64rawurl", encoding)
		return nil
	}
}
