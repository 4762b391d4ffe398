package dev

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sluice/cli/command"
	"sluice/core/sale"
	"sluice/core/stock"
)

// sample is a small catalog: 1001 has plenty, 1002 allows one per user, 1006 has a single unit, 1007 has none left.
//
//go:embed sample.csv
var sample string

// The sale of the sample, with SKU 1003.
const (
	sampleSale     = 1
	sampleSaleSKU  = 1003
	sampleSaleHold = 5 * time.Minute
)

// loadSample loads the sample, unless there is stock or nobody wants it. It uses the command that operators use, which also opens a Redis
// that is shut.
func (s *stack) loadSample(ctx context.Context) error {
	if !s.command.Sample {
		return nil
	}
	stores := s.stores()
	o, err := stores.Open(ctx)
	if err != nil {
		return err
	}
	counts, err := o.Stock.CellCounts(ctx)
	if err := errors.Join(err, o.Close()); err != nil {
		return fmt.Errorf("look for stock: %w", err)
	}
	if slices.ContainsFunc(counts, func(n int64) bool { return n > 0 }) {
		return nil
	}
	nobody := &command.Console{In: strings.NewReader(sample), Out: io.Discard, Err: io.Discard}
	load := command.StockLoad{Writer: s.writer(), Consent: command.Consent{Yes: true}, File: "-"}
	if err := load.Run(ctx, nobody); err != nil {
		if s.restores(err) {
			return nil
		}
		return fmt.Errorf("load sample catalog: %w", err)
	}
	if err := s.openSampleSale(ctx, nobody); err != nil {
		return fmt.Errorf("open sample sale: %w", err)
	}
	return nil
}

func (s *stack) openSampleSale(ctx context.Context, nobody *command.Console) (err error) {
	writer := s.writer()
	o, err := writer.OpenToCreate(ctx, nobody)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	desk := o.Sales(s.cfg.Stock.Retention)
	_, err = desk.Create(ctx, sale.Plan{
		ID: sampleSale, Name: "sample sale", Limit: 2, Hold: sampleSaleHold, Ack: stock.AckDefault, ShopperDeducts: true,
		Items: []sale.Allotment{{SKU: sampleSaleSKU, Quantity: 5000}},
	})
	if err == nil {
		_, err = desk.Open(ctx, sampleSale, sale.Call{}, sale.Opening{})
	}
	return err
}

func (s *stack) writer() command.Writer {
	return command.Writer{Stores: s.stores(), Kafka: s.cfg.Kafka}
}

// stores returns the stack's stores in the form that commands take.
func (s *stack) stores() command.Stores {
	return command.Stores{Redis: s.cfg.Redis, MySQL: s.cfg.MySQL, Stock: s.cfg.Stock.Agreed}
}
