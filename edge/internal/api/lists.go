package api

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/core/ids"
	"sluice/core/ledger"
	"sluice/core/problem"
	"sluice/core/sale"
	"sluice/core/stock"
)

// Books reads MySQL, and writes decisions about dead letters.
type Books interface {
	Stock(ctx context.Context, f ledger.StockFilter, p ledger.Page) (ledger.List[ledger.Stock], error)
	Sales(ctx context.Context, f ledger.SaleFilter, p ledger.Page) (ledger.List[ledger.Sale], error)
	Reservations(ctx context.Context, f ledger.ReservationFilter, p ledger.Page) (ledger.List[ledger.Reservation], error)
	Return(ctx context.Context, id stock.ReservationID) (found *stock.Reservation, behind time.Duration, err error)
	Letters(ctx context.Context, f ledger.LetterFilter, p ledger.Page) (ledger.List[ledger.Letter], error)
	Letter(ctx context.Context, id ledger.LetterID) (ledger.LetterContent, error)
	Resolve(ctx context.Context, id ledger.LetterID, d ledger.Decision) (l ledger.Letter, already bool, err error)
	AskReplay(ctx context.Context, id ledger.LetterID, d ledger.Decision) (l ledger.Letter, already bool, err error)
}

// Lists get few turns and little time, because MySQL and Redis have to sell meanwhile.
const (
	booksAtOnce = 4

	// BooksTimeout bounds the reading of one list, and each of its statements.
	BooksTimeout = 2 * time.Second
)

var errBooksBusy = &problem.Problem{Kind: problem.Overloaded, Detail: "enough lists are being read at the moment"}

// withBooks runs do within the bounds of lists.
func (a *API) withBooks(do func(ctx context.Context) error) error {
	select {
	case a.books <- struct{}{}:
		defer func() { <-a.books }()
	default:
		return errBooksBusy
	}
	ctx, cancel := context.WithTimeout(context.Background(), BooksTimeout)
	defer cancel()
	return do(ctx)
}

// listQuery is the decoded query of a list.
type listQuery struct {
	page     ledger.Page
	sale     uint32
	sku      int64
	user     int64
	state    stock.State
	phase    sale.Phase
	availMax *int64
	letters  ledger.LetterFilter
}

// listQuery admits a request for a list, and reads its query. Words are checked by the books.
func (a *API) listQuery(r *request, may roles) (q listQuery, err error) {
	if err := r.noBody(); err != nil {
		return q, err
	}
	if err := a.admit(r, may); err != nil {
		return q, err
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	for _, p := range r.query {
		if err := q.read(p); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (q *listQuery) read(p parameter) (err error) {
	value := string(p.value)
	switch string(p.name) {
	case "limit":
		n, err := number(p, 1, ledger.PageMax)
		q.page.Limit = int(n)
		return err
	case "cursor":
		q.page.Cursor = value
		if value == "" {
			return malformed("", "%v", ledger.ErrCursor)
		}
	case "sale_id":
		q.sale, err = saleID(p.value)
	case "sku_id":
		q.sku, err = number(p, 1, math.MaxInt64)
	case "user_id":
		q.user, err = number(p, 1, math.MaxInt64)
	case "avail_max":
		n, err := number(p, 0, stock.UnitsMax)
		q.availMax = &n
		return err
	case "kafka_partition":
		n, err := number(p, 0, math.MaxInt32)
		partition := int(n)
		q.letters.Partition = &partition
		return err
	case "state":
		if q.state = stock.ParseState(value); q.state == stock.StateNone {
			return malformed("", "state: want held, confirmed, released, expired, revoked or returned")
		}
	case "phase":
		if q.phase = sale.Phase(value); value == "" {
			return malformed("", "phase: want planned, scheduled, open or closed")
		}
	case "reason":
		if q.letters.Reason = value; value == "" {
			return malformed("", "reason: want %s", strings.Join(ledger.Reasons, ", "))
		}
	case "resolved":
		if q.letters.Resolved = value; value == "" {
			return malformed("", "resolved: want false, true or any")
		}
	}
	return err
}

// number reads a parameter of digits without leading zeros.
func number(p parameter, low, high int64) (int64, error) {
	n, ok := ids.Parse(p.value)
	if low == 0 && string(p.value) == "0" {
		n, ok = 0, true
	}
	if !ok || n < low || n > high {
		return 0, malformed("", "%s: want digits, %d to %d", p.name, low, high)
	}
	return n, nil
}

// answerList answers with a page of a list.
func answerList[T any](a *API, r *request, read func(ctx context.Context) (ledger.List[T], error)) error {
	return a.withBooks(func(ctx context.Context) error {
		list, err := read(ctx)
		if err != nil {
			return problemOfRead(err)
		}
		r.answer(fasthttp.StatusOK, appendView(r.out[:0], list))
		return nil
	})
}

// listStock lists the stock of SKUs, normal or of a sale.
func (a *API) listStock(r *request) error {
	q, err := a.listQuery(r, admins)
	if err != nil {
		return err
	}
	return answerList(a, r, func(ctx context.Context) (ledger.List[ledger.Stock], error) {
		return a.Books.Stock(ctx, ledger.StockFilter{Sale: q.sale, AvailMax: q.availMax}, q.page)
	})
}

// listSales lists sales.
func (a *API) listSales(r *request) error {
	q, err := a.listQuery(r, admins)
	if err != nil {
		return err
	}
	return answerList(a, r, func(ctx context.Context) (ledger.List[ledger.Sale], error) {
		return a.Books.Sales(ctx, ledger.SaleFilter{Phase: q.phase}, q.page)
	})
}

// listReservations lists reservations, for admins.
func (a *API) listReservations(r *request) error {
	q, err := a.listQuery(r, admins)
	if err != nil {
		return err
	}
	return a.answerReservations(r, &q)
}

// listHeld lists what is held in a sale, for services.
func (a *API) listHeld(r *request) error {
	q, err := a.listQuery(r, services)
	if err != nil {
		return err
	}
	if q.sale == 0 {
		return malformed("", "want sale_id: the sale whose held reservations are listed")
	}
	q.state = stock.StateHeld
	return a.answerReservations(r, &q)
}

func (a *API) answerReservations(r *request, q *listQuery) error {
	return answerList(a, r, func(ctx context.Context) (ledger.List[ledger.Reservation], error) {
		return a.Books.Reservations(ctx, ledger.ReservationFilter{User: q.user, SKU: q.sku, Sale: q.sale, State: q.state}, q.page)
	})
}

// listLetters lists dead letters.
func (a *API) listLetters(r *request) error {
	q, err := a.listQuery(r, admins)
	if err != nil {
		return err
	}
	return answerList(a, r, func(ctx context.Context) (ledger.List[ledger.Letter], error) {
		return a.Books.Letters(ctx, q.letters, q.page)
	})
}

// showLetter shows a dead letter and the events in it.
func (a *API) showLetter(r *request) error {
	if _, err := a.listQuery(r, admins); err != nil {
		return err
	}
	id, err := letterID(r)
	if err != nil {
		return err
	}
	return a.withBooks(func(ctx context.Context) error {
		letter, err := a.Books.Letter(ctx, id)
		if err != nil {
			return problemOfRead(err)
		}
		r.answer(fasthttp.StatusOK, appendView(r.out[:0], letter))
		return nil
	})
}

// resolveLetter marks a dead letter as dealt with. The letter's state alone decides what a repetition means.
func (a *API) resolveLetter(r *request) error { return a.decideLetter(r, a.Books.Resolve) }

// replayLetter asks persisters to apply a dead letter again.
func (a *API) replayLetter(r *request) error { return a.decideLetter(r, a.Books.AskReplay) }

func (a *API) decideLetter(r *request,
	decide func(ctx context.Context, id ledger.LetterID, d ledger.Decision) (ledger.Letter, bool, error),
) error {
	b, _, err := adminBody[letterBody](a, r)
	if err != nil {
		return err
	}
	id, err := letterID(r)
	if err != nil {
		return err
	}
	by := "admin " + strconv.FormatInt(r.who.Subject, 10)
	return a.withBooks(func(ctx context.Context) error {
		letter, already, err := decide(ctx, id, ledger.Decision{By: by, Reason: string(b.Reason)})
		if err != nil {
			return err
		}
		status := fasthttp.StatusOK
		if letter.ReplayAskedAt != 0 {
			status = fasthttp.StatusAccepted // a persister is to do it
		}
		r.answerWrite(status, already, appendView(r.out[:0], changedLetter{letter, !already}))
		return nil
	})
}

// changedLetter is a dead letter after an admin's decision.
type changedLetter struct {
	ledger.Letter

	Changed bool `json:"changed"`
}

// letterID returns the id of the dead letter in the path. An impossible id is as unknown as one that does not exist.
func letterID(r *request) (ledger.LetterID, error) {
	id, err := ledger.ParseLetterID(r.param("letter_id"))
	if err != nil {
		return id, &problem.Problem{Kind: problem.UnknownLetter}
	}
	return id, nil
}
