// Package empty is a fasthttp server that returns the same answer to every request and does nothing else: what HTTP alone
// costs on a machine.
package empty

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Answer is what the server answers.
type Answer struct {
	Status int      `default:"200" between:"200-599" help:"Status of the answer."`
	Header []string `sep:"none" help:"A header line of the answer."`
	Body   string   `help:"Body of the answer."`
}

// Serve serves on an address until ctx ends.
func Serve(ctx context.Context, addr string, answer Answer) error {
	headers, date := answer.headers()
	body := []byte(answer.Body)
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		NoDefaultDate:         !date,
		CloseOnShutdown:       true,
		ReadTimeout:           time.Minute,
		IdleTimeout:           time.Minute,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(answer.Status)
			for _, h := range headers {
				ctx.Response.Header.Set(h[0], h[1])
			}
			ctx.SetBody(body)
		},
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = server.Shutdown() })
	return server.Serve(listener)
}

// headers are the name and value of each header but those that fasthttp writes by itself. date reports whether it is to
// write the date.
func (a Answer) headers() (headers [][2]string, date bool) {
	for _, line := range a.Header {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "", "Content-Length", "Connection", "Server":
		case "Date":
			date = true
		default:
			headers = append(headers, [2]string{name, value})
		}
	}
	return headers, date
}

// Args are the arguments with which sluice serves the answer.
func (a Answer) Args() []string {
	args := []string{"bench", "part", "empty", "--status=" + strconv.Itoa(a.Status), "--body=" + a.Body}
	for _, line := range a.Header {
		args = append(args, "--header="+strings.TrimSpace(line))
	}
	return args
}
