package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Server is the ops server of one process. A zero Server serves nothing, and can still be drained and shut down.
type Server struct {
	http  http.Server
	addr  string
	ready readiness
	pages []page
	done  chan struct{} // nil: it never served
}

// page is one beside those that all processes have.
type page struct {
	pattern string
	http.Handler
}

// Handle adds a page, before the server serves.
func (s *Server) Handle(pattern string, handler http.Handler) {
	s.pages = append(s.pages, page{pattern, handler})
}

// Serve listens and answers at once: /livez while the process runs, /readyz while every check of ready
// holds, /metrics from set and from the process itself, /debug/pprof. A server serves once. The caller ends it by Shutdown.
func (s *Server) Serve(listen string, set *metrics.Set, ready []Check, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen for ops (--ops-listen): %w", err)
	}
	metrics.ExposeMetadata(true) // HELP and TYPE lines; the library knows it per process only
	s.addr, s.ready.checks, s.done = listener.Addr().String(), ready, make(chan struct{})
	s.http = http.Server{
		Handler:           s.routes(set),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // a CPU profile takes as long as it was asked for
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("ops server ended", "error", err)
		}
	}()
	return nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.addr }

// Drain makes /readyz fail from now on, so that no new work is sent here.
func (s *Server) Drain() { s.ready.draining.Store(true) }

// Shutdown ends the server after the requests under way. When ctx ends, it cuts these off.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.done == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("shut ops server down: %w", err), s.http.Close())
	}
	<-s.done
	return err
}

func (s *Server) routes(set *metrics.Set) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{\"status\":\"ok\"}\n") // the client has gone: nobody to tell
	})
	mux.Handle("GET /readyz", &s.ready)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writePage(w, set, s.ready.report(r.Context()).Status)
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for _, p := range s.pages {
		mux.Handle(p.pattern, p)
	}
	return mux
}
