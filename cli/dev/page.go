package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"sluice/cli/command"
	"sluice/core/auth"
)

// catchUp is how long the page waits for MySQL: whoever asks has often just reserved something.
const catchUp = 10 * time.Second

// startPage serves, for a curl, what `sluice stock show --wait 10s -o json` and `sluice stock shut -o json` say.
func (s *stack) startPage(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.pageAddr)
	if err != nil {
		return fmt.Errorf("listen for dev: %w", err)
	}
	s.pageAddr = listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stock/{sku_id}", s.showStock)
	mux.HandleFunc("GET /shut", s.showShut)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	s.parts.Later("stop dev page", func(context.Context) error {
		err := server.Close()
		if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	})
	return nil
}

func (s *stack) showStock(w http.ResponseWriter, r *http.Request) {
	sku, ok := auth.ParseID(r.PathValue("sku_id"))
	if !ok {
		http.Error(w, "sku_id: want digits, 1 or more", http.StatusBadRequest)
		return
	}
	s.show(w, r, &command.StockShow{Stores: s.stores(), Output: command.Output{Format: "json"}, SKUs: []int64{sku}, Wait: catchUp})
}

func (s *stack) showShut(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, &command.StockShut{Stores: s.stores(), Output: command.Output{Format: "json"}})
}

// show answers with what a command prints.
func (s *stack) show(w http.ResponseWriter, r *http.Request, show interface {
	Run(ctx context.Context, c *command.Console) error
},
) {
	var out bytes.Buffer
	err := show.Run(r.Context(), &command.Console{Out: &out, Err: io.Discard})
	switch {
	case command.ExitCode(err) == command.ExitNotFound:
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		s.log.Warn("cannot show stock", "path", r.URL.Path, "error", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out.Bytes()) // the client has gone: nobody to tell
	}
}
