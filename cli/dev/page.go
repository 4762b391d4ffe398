package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"sluice/cli/command"
	"sluice/core/ids"
	"sluice/core/reconcile"
	"sluice/core/show"
	"sluice/core/stock"
)

// catchUp is how long the page waits for MySQL, because the user has often just reserved something.
const catchUp = 10 * time.Second

var errNotLoaded = errors.New("the SKU is not loaded")

// startPage serves the output of `sluice stock show --wait 10s -o json` and of `sluice stock shut -o json`, for curl.
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
	sku, ok := ids.Parse(r.PathValue("sku_id"))
	if !ok {
		http.Error(w, "sku_id: want digits, 1 or more", http.StatusBadRequest)
		return
	}
	s.answer(w, r, func(ctx context.Context, o *command.Opened) (any, error) {
		found, err := reconcile.Follow(ctx, o.Stock, o.Books(), []stock.Cell{{SKU: sku}}, catchUp)
		if err != nil {
			return nil, err
		}
		if !found[0].Known() {
			return nil, errNotLoaded
		}
		return []show.Compared{found[0].Show()}, nil
	})
}

func (s *stack) showShut(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, func(ctx context.Context, o *command.Opened) (any, error) {
		found, err := reconcile.FindShut(ctx, o.Stock, command.ShutShown)
		if err != nil {
			return nil, err
		}
		return found.Show(), nil
	})
}

// answer answers with the result of read.
func (s *stack) answer(w http.ResponseWriter, r *http.Request, read func(context.Context, *command.Opened) (any, error)) {
	found, err := s.read(r.Context(), read)
	switch {
	case errors.Is(err, errNotLoaded):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		s.log.Warn("cannot show stock", "path", r.URL.Path, "error", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(found) // if the client has gone, there is nobody to tell
	}
}

// read connects anew for each answer, because somebody may have vetted the data in Redis anew since the last one.
func (s *stack) read(ctx context.Context, read func(context.Context, *command.Opened) (any, error)) ([]byte, error) {
	stores := s.stores()
	o, err := stores.Open(ctx)
	if err != nil {
		return nil, err
	}
	found, err := read(ctx, o)
	if err := errors.Join(err, o.Close()); err != nil {
		return nil, err
	}
	document, err := json.MarshalIndent(found, "", "  ")
	return append(document, '\n'), err
}
