package k6run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dop251/goja"
)

// Bounds of an exchange.
const (
	timeoutDefault   = time.Minute
	responseBytesMax = 16 << 20
	batchMax         = 6 // requests of a batch at once, all to one host
)

var errNotLoopback = errors.New("not a loopback address: this stand-in sends load to this machine only")

// newClient makes the client of a run, which dials this machine only.
func newClient() *http.Client {
	dialer := net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return fmt.Errorf("%s: %w", address, errNotLoopback)
		}
		return nil
	}}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConns: vusMax, MaxIdleConnsPerHost: vusMax, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// exchange is a request and what came back.
type exchange struct {
	method, url, body string
	headers           map[string]string
	tags              map[string]string
	timeout           time.Duration

	status    int
	received  http.Header
	text      string
	err       error
	errorCode int
	took      time.Duration
}

// newExchange reads the arguments of a request.
func (v *vu) newExchange(method, to string, body, params goja.Value) *exchange {
	v.notInit("k6/http")
	x := &exchange{method: strings.ToUpper(method), url: to, timeout: timeoutDefault}
	if u, err := url.Parse(to); err != nil || u.Scheme != "http" || u.Host == "" {
		v.throw("%s %q: this stand-in sends to http:// addresses", method, to)
	}
	if given(body) {
		text, ok := body.Export().(string)
		if !ok {
			v.throw("%s %s: this stand-in sends bodies that are texts", method, to)
		}
		x.body = text
	}
	if !given(params) {
		return x
	}
	object := params.ToObject(v.rt)
	for _, name := range object.Keys() {
		value := object.Get(name)
		switch name {
		case "headers":
			x.headers = v.tagsOf(value)
		case "tags":
			x.tags = v.tagsOf(value)
		case "timeout":
			x.timeout = v.timeout(value)
		case "redirects":
			if value.ToInteger() != 0 {
				v.throw("redirects: this stand-in follows none")
			}
		case "responseType":
			if value.String() != "text" {
				v.throw("responseType %s: this stand-in has text only", value)
			}
		default:
			v.throw("parameter %s of a request is not in this stand-in", name)
		}
	}
	return x
}

// given tells whether an optional argument is there.
func given(value goja.Value) bool {
	return value != nil && !goja.IsUndefined(value) && !goja.IsNull(value)
}

// timeout reads a text with units, or milliseconds.
func (v *vu) timeout(value goja.Value) time.Duration {
	if text, ok := value.Export().(string); ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			v.throw("timeout: %w", err)
		}
		return d
	}
	return time.Duration(value.ToFloat() * float64(time.Millisecond))
}

// do sends the request and reads the answer.
func (x *exchange) do(ctx context.Context, client *http.Client) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	var start time.Time
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { start = time.Now() }})
	request, err := http.NewRequestWithContext(ctx, x.method, x.url, strings.NewReader(x.body))
	if err != nil {
		x.fail(err)
		return
	}
	request.GetBody = nil // nothing is sent twice behind the script's back
	for name, value := range x.headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		x.fail(err)
		return
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, responseBytesMax))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		x.fail(err)
		return
	}
	x.took = time.Since(start)
	x.status, x.received, x.text = response.StatusCode, response.Header, string(body)
	if x.status >= 400 {
		x.errorCode = 1000 + x.status
	}
}

// fail gives a request without an answer k6's code of its error.
func (x *exchange) fail(err error) {
	dial := new(net.OpError)
	x.err, x.errorCode = err, 1000
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		x.errorCode = 1050
	case errors.As(err, &dial) && dial.Op == "dial" && errors.Is(err, syscall.ECONNREFUSED):
		x.errorCode = 1212
	case errors.As(err, &dial) && dial.Op == "dial":
		x.errorCode = 1210
	case errors.Is(err, syscall.ECONNRESET):
		x.errorCode = 1220
	}
}

// answered notes the figures of an exchange, and makes the response that the script sees.
func (v *vu) answered(x *exchange) goja.Value {
	if errors.Is(x.err, errNotLoopback) {
		v.throw("%s %s: %w", x.method, x.url, errNotLoopback)
	}
	expected := x.err == nil && v.expects(x.status)
	tags := v.with(map[string]string{
		"method": x.method, "url": x.url, "name": x.url, "status": strconv.Itoa(x.status), "expected_response": strconv.FormatBool(expected),
	}, x.tags)
	v.run.metrics.note("http_reqs", 1, tags)
	v.run.metrics.note("http_req_duration", milliseconds(x.took), tags)
	v.run.metrics.note("http_req_failed", number(!expected), tags)
	headers := map[string]string{}
	for name, values := range x.received {
		headers[name] = strings.Join(values, ", ")
	}
	problem := ""
	if x.err != nil {
		problem = x.err.Error()
	}
	var body any
	if x.err == nil {
		body = x.text
	}
	return v.guarded("response", map[string]any{
		"status": x.status, "body": body, "headers": headers, "error": problem, "error_code": x.errorCode, "url": x.url,
		"timings": v.guarded("timings", map[string]any{"duration": milliseconds(x.took)}),
		"json": func(call goja.FunctionCall) goja.Value {
			if len(call.Arguments) > 0 {
				v.throw("response.json: this stand-in reads the whole body only")
			}
			return v.parse(x.text)
		},
	})
}

func (v *vu) send(x *exchange) goja.Value {
	x.do(v.ctx, v.run.client)
	return v.answered(x)
}

func (v *vu) httpRequest(call goja.FunctionCall) goja.Value {
	return v.send(v.newExchange(call.Argument(0).String(), call.Argument(1).String(), call.Argument(2), call.Argument(3)))
}

// httpBatch sends requests of a list at once, and returns when all are answered.
func (v *vu) httpBatch(call goja.FunctionCall) goja.Value {
	list := call.Argument(0).ToObject(v.rt)
	if list.ClassName() != "Array" {
		v.throw("batch: this stand-in takes a list of objects")
	}
	var all []*exchange
	for _, i := range list.Keys() {
		one := list.Get(i).ToObject(v.rt)
		for _, name := range one.Keys() {
			if name != "method" && name != "url" && name != "body" && name != "params" {
				v.throw("batch: %s is not known: this stand-in takes objects with method, url, body and params", name)
			}
		}
		if one.Get("method") == nil || one.Get("url") == nil {
			v.throw("batch: this stand-in takes objects with method, url, body and params")
		}
		all = append(all, v.newExchange(one.Get("method").String(), one.Get("url").String(), one.Get("body"), one.Get("params")))
	}
	var group sync.WaitGroup
	places := make(chan struct{}, batchMax)
	for _, x := range all {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			x.do(v.ctx, v.run.client)
		})
	}
	group.Wait()
	responses := make([]any, len(all))
	for i, x := range all {
		responses[i] = v.answered(x)
	}
	return v.rt.NewArray(responses...)
}

// statuses are ranges of statuses, as expectedStatuses makes them.
type statuses [][2]int

func (s statuses) has(status int) bool {
	for _, r := range s {
		if status >= r[0] && status <= r[1] {
			return true
		}
	}
	return false
}

func (v *vu) expectedStatuses(call goja.FunctionCall) goja.Value {
	var s statuses
	for _, a := range call.Arguments {
		if object, ok := a.(*goja.Object); ok {
			if object.Get("min") == nil || object.Get("max") == nil {
				v.throw("expectedStatuses: want numbers, or objects with min and max")
			}
			s = append(s, [2]int{int(object.Get("min").ToInteger()), int(object.Get("max").ToInteger())})
			continue
		}
		s = append(s, [2]int{int(a.ToInteger()), int(a.ToInteger())})
	}
	return v.rt.ToValue(s)
}

func (v *vu) setResponseCallback(call goja.FunctionCall) goja.Value {
	s, ok := call.Argument(0).Export().(statuses)
	if !ok {
		v.throw("setResponseCallback: want what expectedStatuses returns")
	}
	v.expects = s.has
	return goja.Undefined()
}
