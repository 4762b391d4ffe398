package dev

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sluice/cli/command"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
)

// sample is a small catalog: 1001 has plenty, 1002 one per user, 1006 a single unit, 1007 none left.
//
//go:embed sample.csv
var sample string

// The sale of the sample, in SKU 1003.
const (
	sampleSale     = 1
	sampleSaleSKU  = 1003
	sampleSaleHold = 5 * time.Minute
)

// loadSample loads the sample unless there is any stock, by the same command as an operator would use,
// which also opens a Redis that is shut.
func (s *stack) loadSample(ctx context.Context) (err error) {
	client, err := s.cfg.Redis.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	store, err := redisstock.New(client, redisstock.Config{
		Partitions: s.cfg.Stock.Partitions, Retention: s.cfg.Stock.Retention, OutboxEntriesMax: s.cfg.Stock.OutboxEntriesMax,
		CallTimeout: s.cfg.Redis.CallTimeout,
	})
	if err != nil {
		return err
	}
	counts, err := store.CellCounts(ctx)
	if err != nil {
		return fmt.Errorf("look for stock: %w", err)
	}
	for _, n := range counts {
		if n > 0 {
			return nil
		}
	}
	load := command.StockLoad{Writer: command.Writer{Stores: s.stores(), Kafka: s.cfg.Kafka}, Consent: command.Consent{Yes: true}, File: "-"}
	if err := load.Run(ctx, &command.Console{In: strings.NewReader(sample), Out: io.Discard, Err: io.Discard}); err != nil {
		return fmt.Errorf("load sample catalog: %w", err)
	}
	return s.openSampleSale(ctx, client, store)
}

func (s *stack) openSampleSale(ctx context.Context, client rueidis.Client, store *redisstock.Store) (err error) {
	db, err := s.cfg.MySQL.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	v := vetting.Vetting{Client: client, DB: db, Kafka: s.cfg.Kafka, Stock: s.cfg.Stock.Agreed}
	if _, err := v.Open(ctx, store); err != nil {
		return fmt.Errorf("open sample sale: %w", err)
	}
	desk := sale.NewDesk(store, db, s.cfg.Stock.Retention)
	_, err = desk.Create(ctx, sale.Plan{
		ID: sampleSale, Name: "sample sale", Limit: 2, Hold: sampleSaleHold, Ack: stock.AckDefault, ShopperDeducts: true,
		Items: []sale.Allotment{{SKU: sampleSaleSKU, Quantity: 5000}},
	})
	if err == nil {
		_, err = desk.Open(ctx, sampleSale, sale.Call{}, sale.Opening{})
	}
	if err != nil {
		return fmt.Errorf("open sample sale: %w", err)
	}
	return nil
}

// stores are the stack's, as the commands want them.
func (s *stack) stores() command.Stores {
	return command.Stores{Redis: s.cfg.Redis, MySQL: s.cfg.MySQL, Stock: s.cfg.Stock.Agreed}
}
