package command

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"sluice/bench/empty"
	"sluice/core/local"
)

// BenchPart has the processes that benchmarks start beside themselves. Each serves at $SLUICE_LISTEN until a signal ends it.
type BenchPart struct {
	Empty  emptyPart  `cmd:"" help:"Answer every request with the same bytes."`
	Broker brokerPart `cmd:"" help:"Be the embedded broker."`
}

func listen() string { return os.Getenv("SLUICE_LISTEN") }

type emptyPart struct{ empty.Answer }

// Help is called by kong.
func (emptyPart) Help() string {
	return `What HTTP alone costs: benchmarks start it beside themselves, and divide by its rate.

Example:
  SLUICE_LISTEN=127.0.0.1:9100 sluice bench part empty --status 201 --body '{}'`
}

// Run is called by kong.
func (e *emptyPart) Run(ctx context.Context) error { return empty.Serve(ctx, listen(), e.Answer) }

type brokerPart struct{}

// Help is called by kong.
func (brokerPart) Help() string {
	return `The broker of sluice dev, in memory and in a process of its own, so that a benchmark can tell its CPU from others'.

Example:
  SLUICE_LISTEN=127.0.0.1:9101 sluice bench part broker`
}

// Run is called by kong.
func (brokerPart) Run(ctx context.Context) error {
	_, port, err := net.SplitHostPort(listen())
	if err != nil {
		return fmt.Errorf("SLUICE_LISTEN: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("SLUICE_LISTEN: %w", err)
	}
	b, err := local.StartBroker(ctx, "", number)
	if err != nil {
		return err
	}
	<-ctx.Done()
	b.Stop()
	return nil
}
