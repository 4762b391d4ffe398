// Package catalog is the shop behind the hot path: a conventional service on net/http with a database of its own, made of
// packages that each own their tables and rules. It reaches stock through the edge's HTTP API.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/net/netutil"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/catalog/account/provider"
	"sluice/catalog/assess"
	"sluice/catalog/cart"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/notify"
	"sluice/catalog/offer"
	"sluice/catalog/price"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/catalog/stock"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/limit"
	"sluice/core/place"
	"sluice/core/sessions"
	"sluice/core/telemetry"
)

// startTimeout is how long to wait at start for a database that is not up yet.
const startTimeout = 30 * time.Second

// Schemas are the owners of the shop's tables.
func Schemas() place.Owners {
	return place.Owners{place.Beats, account.Schema(), audit.Schema(), assess.Schema(), notify.Schema(), seller.Schema(), product.Schema(), offer.Schema(), price.Schema(), cart.Schema(), stock.Schema()}
}

// Node is a running shop.
type Node struct {
	cfg Config
	log *slog.Logger
	set *metrics.Set

	databases *place.Databases
	signing   *signing
	messages  *notify.Messages
	assess    *assess.Assessments
	accounts  *account.Accounts
	ended     *auth.Ended // sessions
	sellers   *seller.Sellers
	products  *product.Products
	stock     *stock.Stock
	pricing   *price.Pricing
	offers    *offer.Offers
	carts     *cart.Carts
	address   string
	watch     *telemetry.Watch
	ops       telemetry.Server

	parts lifecycle.Stack
}

// Start connects and serves. It waits a while for a database that is not up yet, and refuses one that could forget what it
// committed. The node runs until Shutdown, not until ctx ends.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure catalog: %w", err)
	}
	n := &Node{cfg: cfg, log: log, set: metrics.NewSet()}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := n.parts.Start(ctx, n.openMySQL, n.openAccounts, n.startBackground, n.startWork, n.startAudit, n.serve, n.serveOps); err != nil {
		return nil, err
	}
	return n, nil
}

// Addr is the address of the HTTP API.
func (n *Node) Addr() string { return n.address }

// OpsAddr is the address of health, metrics and profiles.
func (n *Node) OpsAddr() string { return n.ops.Addr() }

// Shutdown ends the node. It stops being ready, and answers every request that it has read. When ctx ends, Shutdown cuts off
// what is not done, and the error says so.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ops.Drain()
	lifecycle.Pause(ctx, n.cfg.DrainDelay)
	return n.parts.Stop(ctx)
}

// openMySQL connects to all databases, and vets their servers and schemas.
func (n *Node) openMySQL(ctx context.Context) error {
	n.parts.Later("stop ops server", n.ops.Shutdown) // last of all, so that an operator can watch the rest
	var err error
	n.databases, err = n.cfg.Places.Open(place.Options{
		MySQL: db.Config(n.cfg.MySQL), LagMax: n.cfg.ReadersLagMax, Metrics: n.set, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.parts.Later("close mysql", func(context.Context) error { return n.databases.Close() })
	var volatile error
	err = lifecycle.Await(ctx, n.log, "mysql", func() error {
		faults, err := n.databases.Faults(ctx)
		if err != nil {
			return err
		}
		volatile = db.Durability(faults)
		return tellHow(n.databases.Check(ctx, Schemas()))
	})
	switch {
	case err != nil:
		return fmt.Errorf("start catalog: %w", err)
	case volatile == nil:
	case !n.cfg.AllowVolatileMySQL:
		return fmt.Errorf("refuse mysql (unless --allow-volatile-mysql): %w", volatile)
	default:
		n.log.WarnContext(ctx, "mysql can forget commits in a crash", "error", volatile)
	}
	return nil
}

// tellHow adds which command migrates the tables of the shop.
func tellHow(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (of the shop: sluice catalog migrate)", err)
}

// openAccounts reads the keys of accounts, and makes the messages by which accounts reach people.
func (n *Node) openAccounts(ctx context.Context) error {
	secret, err := account.ReadSecret(n.cfg.AccountSecretFile)
	if err != nil {
		return err
	}
	v, err := OpenVault(ctx, n.cfg.Vault, n.databases, n.log)
	if err == nil {
		err = v.Begin(ctx)
	}
	if err != nil {
		return err
	}
	if err := n.openMessages(ctx, sealer{secret, v}); err != nil {
		return err
	}
	if n.signing, err = openSigning(n.cfg.SigningKeysFile, n.cfg.TokenIssuer, n.cfg.TokenAudience); err != nil {
		return err
	}
	if err := n.openAssessments(secret); err != nil {
		return err
	}
	providers, err := n.cfg.Providers.Open(provider.Options{Metrics: n.set, Log: n.log, Now: time.Now})
	if err != nil {
		return err
	}
	n.parts.Close("close the providers of sign-ins", providers.Close)
	n.accounts = account.New(account.Config{
		Databases: n.databases, Secret: secret, Vault: v, Signer: n.signing, Messenger: messenger{n.messages}, Assessor: n.assess, Providers: providers,
		Shop: n.cfg.Messages.Shop, HashesMax: n.cfg.PasswordsMax, Now: time.Now, Log: n.log,
	})
	sender, err := n.cfg.Webhooks.Open()
	if err != nil {
		return err
	}
	n.parts.Close("close the connections to webhooks", sender.Close)
	n.sellers = seller.New(seller.Config{
		Databases: n.databases, Sealer: secret, Accounts: n.accounts, Messenger: sellerMessenger{n.messages}, Assessor: n.assess, Sender: sender, Metrics: n.set,
	})
	media, err := n.cfg.Media.Open(time.Now)
	if err != nil {
		return err
	}
	if media != nil {
		n.parts.Close("close the connections to the store of media", media.Close)
	}
	n.products = product.New(product.Config{Databases: n.databases, Sellers: n.sellers, Media: media, Now: time.Now})
	n.offers = offer.New(offer.Config{Databases: n.databases, Sellers: n.sellers, Goods: n.products})
	markets, err := price.LoadMarkets(n.cfg.MarketsFile)
	if err != nil {
		return fmt.Errorf("%w (--markets-file)", err)
	}
	quotes, err := price.NewSealer(secret.QuoteKey())
	if err != nil {
		return err
	}
	n.pricing = price.New(price.Config{Databases: n.databases, Markets: markets, Sellers: n.sellers, Products: n.products, Sealer: quotes})
	n.carts = cart.New(cart.Config{Databases: n.databases, Prover: secret, Products: n.products, Now: time.Now, Log: n.log})
	if err := n.openStock(ctx); err != nil {
		return err
	}
	n.accounts.Keep(n.assess, n.sellers, n.products, n.offers, n.pricing, n.carts, n.stock)
	n.assess.Register(assess.SignUp, n.accounts.Asker())
	n.assess.Register(assess.Application, n.sellers.Asker())
	return nil
}

// openStock makes the stock, which gives units to the core if the shop knows where the edge is.
func (n *Node) openStock(ctx context.Context) error {
	edge, err := n.openEdge(ctx)
	if err != nil {
		return err
	}
	cfg := stock.Config{Databases: n.databases, Sellers: n.sellers, Products: n.products, Metrics: n.set}
	if edge != nil {
		cfg.Edge = edge
	}
	n.stock = stock.New(cfg)
	return nil
}

// sweepPause is the time between two sweeps of what accounts leave behind.
const sweepPause = time.Minute

// queuesPause is the time between two looks at what waits for people.
const queuesPause = 30 * time.Second

// startBackground starts the node's own goroutines.
func (n *Node) startBackground(context.Context) error {
	background := lifecycle.NewGroup(n.log)
	n.parts.Later("end background work", background.Stop)
	n.watch = telemetry.NewWatch(n.set, "mysql", db.FaultWords, func(ctx context.Context) ([]telemetry.Fault, error) {
		faults, err := n.databases.Faults(ctx)
		if n.cfg.AllowVolatileMySQL {
			faults = slices.DeleteFunc(faults, func(f telemetry.Fault) bool { return f.Word == db.FaultDurability })
		}
		return faults, err
	}, n.log)
	background.Run("watch", n.watch.Run)
	background.Run("beats", n.databases.Run)
	background.Run("signing keys", func(ctx context.Context) { n.signing.run(ctx, n.log) })
	n.ended = auth.NewEnded()
	background.Run("ended sessions", sessions.New(sessions.Config{
		Brokers: n.cfg.Kafka.Brokers, Ended: n.ended, Service: "catalog", Metrics: n.set, Log: n.log,
	}).Run)
	background.Run("sweep of accounts", func(ctx context.Context) {
		lifecycle.Repeat(ctx, n.log, "sweep accounts", sweepPause, n.accounts.Sweep)
	})
	background.Run("rules of assessments", func(ctx context.Context) {
		lifecycle.Repeat(ctx, n.log, "read the rules of assessments", rulesPause, n.assess.Reload)
	})
	queues := queue.NewWatch(n.set, slices.Concat(assess.Queues, seller.Queues, product.Queues, offer.Queues),
		n.assess.Backlog, n.sellers.Backlog, n.products.Backlog, n.offers.Backlog)
	background.Run("queues of people", func(ctx context.Context) {
		lifecycle.Repeat(ctx, n.log, "look at the queues of people", queuesPause, queues.Look)
	})
	background.Run("stock of SKUs", func(ctx context.Context) {
		lifecycle.Repeat(ctx, n.log, "look at the stock of SKUs", queuesPause, n.stock.Look)
	})
	background.Run("sweep of assessments", func(ctx context.Context) {
		lifecycle.Repeat(ctx, n.log, "sweep assessments", sweepPause, n.assess.Sweep)
	})
	return nil
}

// serve serves the HTTP API.
func (n *Node) serve(ctx context.Context) error {
	keys, err := auth.ReadKeys(n.cfg.TokenKeyFile)
	if err != nil {
		return err
	}
	var proxies []netip.Prefix
	for _, network := range n.cfg.TrustedProxies {
		proxies = append(proxies, netip.MustParsePrefix(network)) // Validate has parsed it
	}
	handler, err := web.New(web.Config{
		Routes: routes(n.accounts, n.assess, n.sellers, n.products, n.offers, n.pricing, n.carts, n.stock), Permissions: permissions(), Granted: n.accounts.Granted, Proved: n.accounts.Proved, Keys: n.sellers.VerifyKey,
		Tokens: auth.NewVerifier(keys, auth.VerifierConfig{
			Issuer: n.cfg.TokenIssuer, Audience: n.cfg.TokenAudience, CacheMax: n.cfg.TokensMax, Shoppers: n.signing.shoppers, Ended: n.ended,
		}),
		Lives:       n.accounts.Lives,
		Users:       newLimiter("user", n.cfg.RatePerUser, n.cfg.BurstPerUser, n.cfg.LimitedMax, limit.UserID),
		Addresses:   newLimiter("address", n.cfg.RatePerAddress, n.cfg.BurstPerAddress, n.cfg.LimitedMax, limit.AddressID),
		Proxies:     proxies,
		RequestsMax: n.cfg.RequestsMax, Timeout: n.cfg.WriteTimeout,
		Metrics: n.set, Log: n.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", n.cfg.Listen)
	if err != nil {
		return fmt.Errorf("serve http (--catalog-listen): %w", err)
	}
	n.address = listener.Addr().String()
	listener = netutil.LimitListener(listener, n.cfg.ConnectionsMax)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: n.cfg.ReadTimeout,
		ReadTimeout:       n.cfg.ReadTimeout,
		WriteTimeout:      n.cfg.ReadTimeout + n.cfg.WriteTimeout, // from when the header was read: a body may take its time first
		IdleTimeout:       n.cfg.IdleTimeout,
		MaxHeaderBytes:    web.HeaderBytesRead,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug), // about mistakes of clients
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	n.parts.Later("drain http", func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	})
	return nil
}

// newLimiter makes a limiter. For a rate of 0 it returns nil.
func newLimiter[K comparable](name string, perSecond float64, burst, keysMax int, id func(K) uint64) *limit.Limiter[K] {
	if perSecond == 0 {
		return nil
	}
	return limit.New(name, limit.Config{Rate: perSecond, Burst: burst, KeysMax: keysMax}, id)
}

// serveOps serves health and metrics.
func (n *Node) serveOps(context.Context) error {
	checks := []telemetry.Check{
		{Name: "mysql", Probe: n.databases.Ping},
		{Name: "schema", Probe: func(ctx context.Context) error { return tellHow(n.databases.CheckAnswering(ctx, Schemas())) }},
	}
	return n.ops.Serve(n.cfg.Ops.Listen, n.set, telemetry.WithWatches(checks, []*telemetry.Watch{n.watch}), n.log)
}
