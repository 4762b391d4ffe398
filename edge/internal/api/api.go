package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"sluice/core/auth"
	"sluice/core/cors"
	"sluice/core/limit"
	"sluice/core/operate"
	"sluice/core/problem"
	"sluice/core/stock"
	"sluice/edge/batch"
	"sluice/edge/front"
)

// Decider decides one request, or some of one partition that belong together, and returns when they are decided and
// acknowledged.
type Decider interface {
	Do(op stock.Op, r stock.Request) (batch.Result, error)
	DoPart(op stock.Op, requests []stock.Request) ([]batch.Result, error)
	// Room fails if no request that takes units would get in, RoomFor if none for the cell would.
	Room() error
	RoomFor(cell stock.Cell) error
}

// Reader reads cells and reservations.
type Reader interface {
	Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, nowMS int64, err error)
	Reservations(ctx context.Context, ids []stock.ReservationID) (found []stock.Reservation, nowMS int64, err error)
	Partitions() int
	ReplicaWarning(ctx context.Context) (string, error)
	ShutCells(ctx context.Context, partition int, cursor uint64) (found []stock.CellState, next uint64, err error)
	Now(ctx context.Context) (nowMS int64, err error)
}

// Cells knows cells as they were not long ago.
type Cells interface {
	State(ctx context.Context, cell stock.Cell, maxAge time.Duration) (stock.CellState, time.Time, error)
}

// Known knows which cells cannot exist. A false of MayExist is certain, unless it comes with screen.ErrBusy. A request
// that anyone may make, without a token, is public.
type Known interface {
	MayExist(ctx context.Context, cell stock.Cell, public bool) (bool, error)
	Missed(cell stock.Cell) // Redis does not know a cell that may exist
	Add(cell stock.Cell)    // the cell was just made
}

// SoldOut knows which cells have no free unit for a new reservation. A true of Certain is certain. Any and Maybe say whether it
// may be true of some cell, and of the cell.
type SoldOut interface {
	Any() bool
	Maybe(cell stock.Cell) bool
	Certain(cell stock.Cell, id stock.ReservationID) bool
	Saw(cell stock.Cell) // Redis has no unit free
}

// Parts has the other parts of an edge that an API calls.
type Parts struct {
	Decider       Decider
	Reader        Reader
	Cells         Cells
	Known         Known
	SoldOut       SoldOut
	Serves        func(partition int) error // fails while nobody can take from a partition
	Sales         operate.SaleDesk
	Books         Books
	Registrations Registrations
	Registered    Registered
	Transfer      func(ctx context.Context, t stock.TransferRequest) (replayed bool, err error)
	Tokens        *auth.Verifier
	Front         *front.Front // nil: the catalog has its own address

	Users     *limit.Limiter[int64]      // nil: no limit
	Addresses *limit.Limiter[netip.Addr] // nil: no limit
	// Proxies are the networks whose X-Forwarded-For the API believes.
	Proxies []netip.Prefix
	// Origins are those whose pages may read answers. Nil: browsers decide as if nobody had thought of it.
	Origins cors.Origins

	// SalesOnly keeps shoppers from taking normal stock, which is then for services.
	SalesOnly bool

	// Between is called before each step of a basket. It is nil, except in programs of tests.
	Between func(stage string)

	Retention    time.Duration // how long Redis remembers what has ended
	ReadTimeout  time.Duration // of one call that reads
	AdminTimeout time.Duration // of one admin request, which may be many calls

	Metrics *metrics.Set
	Log     *slog.Logger
	Now     func() time.Time
}

// API answers HTTP requests. It is safe for concurrent use.
type API struct {
	Parts
	router *router.Router
	// preflights answers the questions of browsers before requests of other origins.
	preflights fasthttp.RequestHandler
	routes     routes
	requests   sync.Pool
	ids        requestIDs
	meter      *meter
	unnamed    unnamed
	draining   atomic.Bool
	books      chan struct{} // a place for each request that asks MySQL
	// complaints limits how often the API logs what should not happen. It counts each time.
	complaints rate.Sometimes
}

// New makes an API of its parts.
func New(parts Parts) *API {
	a := &API{Parts: parts, meter: newMeter(parts.Metrics), unnamed: newUnnamed(parts.Metrics), ids: newRequestIDs()}
	a.books = make(chan struct{}, booksAtOnce)
	a.complaints = rate.Sometimes{First: 10, Interval: time.Second}
	a.requests.New = func() any { return &request{out: make([]byte, 0, 1024)} }

	r := router.New()
	a.router, a.routes = r, routes{}
	r.RedirectTrailingSlash = false // paths are matched as sent
	r.RedirectFixedPath = false
	r.HandleOPTIONS = false
	on := func(method, path, name string, handle func(*request) error, parameters ...string) {
		handler := a.route(name, func(req *request) error {
			if err := req.readQuery(parameters); err != nil {
				return err
			}
			return handle(req)
		})
		methods := []string{method}
		if method == fasthttp.MethodGet {
			methods = append(methods, fasthttp.MethodHead) // fasthttp leaves the body of its answer out
		}
		for _, method := range methods {
			a.routes.add(method, path)
			r.Handle(method, path, handler)
		}
	}
	on("POST", "/v1/reservations", "reserve", a.reserve)
	on("GET", "/v1/reservations", "held_list", a.listHeld, "sale_id", "limit", "cursor")
	on("GET", "/v1/reservations/{id}", "reservation", a.reservation)
	on("POST", "/v1/reservations/{id}/confirm", "confirm", a.confirm)
	on("POST", "/v1/reservations/{id}/release", "release", a.release)
	on("POST", "/v1/reservations/{id}/extend", "extend", a.extend)
	on("POST", "/v1/reservations/confirm", "confirm_list", a.confirmList)
	on("POST", "/v1/reservations/release", "release_list", a.releaseList)
	on("POST", "/v1/reservations/extend", "extend_list", a.extendList)
	on("POST", "/v1/deductions", "deduct", a.deduct)
	on("POST", "/v1/baskets", "basket", a.holdBasket)
	on("POST", "/v1/returns", "return", a.takeBack)
	on("GET", "/v1/returns/{id}", "show_return", a.showReturn)
	on("GET", "/v1/deployment", "deployment", a.showDeployment)
	on("GET", "/v1/stock", "stocks", a.stocks, "sku_ids", "sale_id")
	on("GET", "/v1/stock/{sku_id}", "stock", a.stock, "sale_id")
	on("GET", "/admin/v1/skus", "sku_list", a.listStock, "sale_id", "avail_max", "limit", "cursor")
	on("PUT", "/admin/v1/skus/{sku_id}", "sku_load", a.loadSKU)
	on("GET", "/admin/v1/skus/{sku_id}", "sku", a.showSKU, "sale_id")
	on("PATCH", "/admin/v1/skus/{sku_id}", "sku_settings", a.changeSKU)
	on("POST", "/admin/v1/skus/{sku_id}/adjustments", "sku_adjust", a.adjustSKU)
	on("GET", "/admin/v1/shut-cells", "shut_cells", a.showShut, "cursor")
	on("POST", "/admin/v1/transfers", "transfer", a.transfer)
	on("GET", "/admin/v1/reservations", "reservation_list", a.listReservations, "user_id", "sku_id", "sale_id", "state", "limit", "cursor")
	on("GET", "/admin/v1/dead-letters", "letter_list", a.listLetters, "reason", "kafka_partition", "resolved", "limit", "cursor")
	on("GET", "/admin/v1/dead-letters/{letter_id}", "letter", a.showLetter)
	on("POST", "/admin/v1/dead-letters/{letter_id}/resolve", "letter_resolve", a.resolveLetter)
	on("POST", "/admin/v1/dead-letters/{letter_id}/replay", "letter_replay", a.replayLetter)
	on("GET", "/admin/v1/sales", "sale_list", a.listSales, "phase", "limit", "cursor")
	on("PUT", "/admin/v1/sales/{sale_id}", "sale_create", a.createSale)
	on("GET", "/admin/v1/sales/{sale_id}", "sale", a.showSale)
	on("POST", "/admin/v1/sales/{sale_id}/open", "sale_open", a.openSale)
	on("POST", "/admin/v1/sales/{sale_id}/close", "sale_close", a.closeSale)
	on("POST", "/admin/v1/sales/{sale_id}/fill", "sale_fill", func(r *request) error { return a.moveStock(r, operate.FillSale) })
	on("POST", "/admin/v1/sales/{sale_id}/empty", "sale_empty", func(r *request) error { return a.moveStock(r, operate.EmptySale) })
	on("POST", "/admin/v1/sales/{sale_id}/registrations", "sale_register", a.register)
	if a.Front != nil {
		cacheControl := a.Front.CacheControl()
		for _, route := range front.Routes() {
			on("GET", route.Path, route.Name, func(r *request) error { return a.readCatalog(r, route, cacheControl) }, route.Query...)
		}
	}
	a.preflights = a.route("preflight", a.preflight)
	r.NotFound = a.route("none", func(*request) error { return errNotFound })
	r.MethodNotAllowed = a.route("none", a.methodNotAllowed)
	a.refuseBeside()
	return a
}

// Drain makes every answer from now on the last of its connection.
func (a *API) Drain() { a.draining.Store(true) }

// Serve answers one request. It is the fasthttp handler. It also recovers from panics, because fasthttp does not and a
// panic would end the process.
func (a *API) Serve(ctx *fasthttp.RequestCtx) {
	defer func() {
		if p := recover(); p != nil {
			a.meter.panics.Inc()
			a.complaints.Do(func() {
				a.Log.Error("a request made the edge panic", "panic", p, "stack", string(debug.Stack()))
			})
			ctx.Response.Reset()
			a.problem(ctx, &problem.Problem{Kind: problem.Internal, Close: true})
		}
	}()
	if a.Origins != nil && a.letIn(ctx) {
		a.preflights(ctx)
		return
	}
	a.router.Handler(ctx)
}

// Unreadable answers a request that fasthttp could not read. It is fasthttp's ErrorHandler; fasthttp closes the connection
// afterwards.
func (a *API) Unreadable(ctx *fasthttp.RequestCtx, err error) {
	ctx.Response.Reset()
	p := &problem.Problem{Kind: problem.Malformed, Detail: "The request cannot be read as HTTP/1.1."}
	var small *fasthttp.ErrSmallBuffer
	var network net.Error
	switch {
	case errors.As(err, &small):
		p = &problem.Problem{Kind: problem.HeadersTooLarge}
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		p = a.tooLarge(&ctx.Request.Header)
	case errors.As(err, &network) && network.Timeout():
		p = &problem.Problem{Kind: problem.RequestTimeout}
	}
	a.meter.route("none").refuse(p.Kind)
	a.problem(ctx, p)
}

// problem answers without a request of ours.
func (a *API) problem(ctx *fasthttp.RequestCtx, p *problem.Problem) {
	var buf [requestIDBytes]byte
	id := a.ids.append(buf[:0])
	ctx.Response.Header.SetCanonical(headerRequestID, id)
	writeProblem(&ctx.Response, p, nil, id)
}

// route makes a fasthttp handler of one of ours: everything that all of them have in common.
func (a *API) route(name string, handle func(*request) error) fasthttp.RequestHandler {
	meter := a.meter.route(name)
	return func(ctx *fasthttp.RequestCtx) {
		r := a.requests.Get().(*request) // the pool has no other type
		r.begin(ctx, a.Now(), &a.ids)
		var refused *problem.Kind
		err := r.head.read(&ctx.Request.Header)
		if err == nil {
			err = handle(r)
		} else {
			r.head = head{} // a head that was read in part does not tell its sender
		}
		if err != nil {
			refused = a.refuse(r, err)
		}
		r.finish()
		if a.draining.Load() {
			ctx.Response.Header.SetConnectionClose()
		}
		meter.done(refused, r.replayed, a.Now().Sub(r.now))
		r.end()
		a.requests.Put(r) // not after a panic of the handler: nobody knows in which state it left the request
	}
}

// reportBug counts a failure that should not be, and logs it.
func (a *API) reportBug(err error, r *request) {
	a.meter.bugs.Inc()
	a.complaints.Do(func() {
		a.Log.Error("a request failed for a reason that it should not", "error", err, "request_id", string(r.id[:]))
	})
}

// refuse makes the problem document of err the answer. If the request was refused before it was counted against its limits,
// refuse counts it, so that nobody can send refused requests without end.
func (a *API) refuse(r *request, err error) *problem.Kind {
	p, bug := problemOf(err)
	if bug {
		a.reportBug(err, r)
	}
	if !r.counted {
		if _, err := a.count(r); err != nil {
			over, _ := problemOf(err)
			over.Close, over.Allow = p.Close, p.Allow // which hold for the request, whatever it is told
			p = over
		}
	}
	if r.ctx.IsGet() || r.ctx.IsHead() {
		r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	}
	r.out = writeProblem(&r.ctx.Response, p, r.out, r.id[:])
	return p.Kind
}
