package catalog

import (
	"context"
	"fmt"

	"sluice/catalog/account"
	"sluice/catalog/cart"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/work"
	"sluice/catalog/notify"
	"sluice/catalog/offer"
	"sluice/catalog/price"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/catalog/stock"
	"sluice/core/kafka"
	"sluice/core/lifecycle"
)

// owners are the packages of the shop, with what each does besides answering.
func owners(accounts *account.Accounts, messages *notify.Messages, sellers *seller.Sellers, products *product.Products, offers *offer.Offers, pricing *price.Pricing, carts *cart.Carts, stocks *stock.Stock) []work.Owner {
	return []work.Owner{accounts.Work(), messages.Work(), sellers.Work(), products.Work(), offers.Work(), pricing.Work(), carts.Work(), stocks.Work()}
}

// Topics are those of the shop's events.
func Topics() (all []string) {
	for _, o := range owners(nil, nil, nil, nil, nil, nil, nil, nil) { // nobody does their work
		all = append(all, o.Topics...)
	}
	return all
}

// CreateTopics makes the topics of the shop's events, unless they exist.
func CreateTopics(ctx context.Context, in kafka.Cluster) error {
	k := outbox.NewKafka(in.Brokers)
	defer k.Close()
	return k.Create(ctx, Topics(), in.Partitions, in.Replication)
}

// startWork starts what the packages of the shop do besides answering. Kafka need not answer: events wait for it.
func (n *Node) startWork(context.Context) error {
	k := outbox.NewKafka(n.cfg.Kafka.Brokers)
	n.parts.Close("close kafka", k.Close)
	w, err := work.New(work.Config{Owners: owners(n.accounts, n.messages, n.sellers, n.products, n.offers, n.pricing, n.carts, n.stock), Places: n.databases.All, Kafka: k, Metrics: n.set, Log: n.log})
	if err != nil {
		return fmt.Errorf("start catalog: %w", err)
	}
	background := lifecycle.NewGroup(n.log)
	n.parts.Later("end the work of packages", background.Stop)
	background.Run("work of packages", w.Run)
	return nil
}
