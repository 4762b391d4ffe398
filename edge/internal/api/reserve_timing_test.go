package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// instant decides at once: what is left is the cost of the API itself.
type instant struct {
	soldOut         bool
	full, fullThere bool
}

func (i instant) Do(_ stock.Op, r stock.Request) (res batch.Result, err error) {
	res.TimeMS = 1_770_000_000_000
	res.Reservation = stock.Reservation{
		ID: r.ID, State: stock.StateHeld, Cell: r.Cell, User: r.User, Quantity: r.Quantity, DeadlineMS: 1_770_000_900_000,
	}
	return res, nil
}

func (instant) Now(context.Context) (int64, error) { return noon.UnixMilli(), nil }

func (instant) MayExist(context.Context, stock.Cell, bool) (bool, error) { return true, nil }
func (instant) Missed(stock.Cell)                                        {}
func (instant) Add(stock.Cell)                                           {}
func (instant) DoPart(stock.Op, []stock.Request) ([]batch.Result, error) {
	return nil, stock.ErrNotApplied
}

func (i instant) Room() error {
	if i.full {
		return batch.ErrFull
	}
	return nil
}

func (i instant) RoomFor(stock.Cell) error {
	if i.fullThere {
		return batch.ErrFull
	}
	return nil
}

func (i instant) Any() bool                                    { return i.soldOut }
func (i instant) Maybe(stock.Cell) bool                        { return i.soldOut }
func (i instant) Certain(stock.Cell, stock.ReservationID) bool { return i.soldOut }
func (instant) Saw(stock.Cell)                                 {}
func (instant) Partitions() int                                { return 64 }
func (instant) Cells(context.Context, []stock.Cell) ([]stock.CellState, int64, error) {
	return nil, 0, nil
}

func (instant) ReplicaWarning(context.Context) (string, error) { return "", nil }

func (instant) ShutCells(context.Context, int, uint64) ([]stock.CellState, uint64, error) {
	return nil, 0, nil
}

func (instant) Reservations(context.Context, []stock.ReservationID) ([]stock.Reservation, int64, error) {
	return nil, 0, nil
}

// parsed is a context with a reservation as fasthttp has parsed it, and the API to serve it.
func parsed(tb testing.TB, decider instant) (*API, *fasthttp.RequestCtx) {
	tb.Helper()
	keys, err := auth.NewKeys(auth.Key{
		ID: "k", Algorithm: auth.HS256, Secret: base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("s"), 32)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	token, err := keys.Issue(auth.Claims{
		Identity: auth.Identity{Subject: 7, Role: auth.RoleShopper}, Issuer: "iss", Audience: "aud",
		NotBefore: time.Now().Add(-time.Minute), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		tb.Fatal(err)
	}
	a := New(Parts{
		Decider: decider, Reader: decider, Known: decider, SoldOut: decider,
		Tokens:  auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "iss", Audience: "aud", CacheMax: 1000}),
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	body := taken(1001, 1)
	raw := post(token, body, "Idempotency-Key: 8e03978e-40d5-43e8-bc93-6894a57f9324", jsonLine, fmt.Sprintf("Content-Length: %d", len(body)))
	ctx := &fasthttp.RequestCtx{}
	if err := ctx.Request.Read(bufio.NewReader(bytes.NewReader([]byte(raw)))); err != nil {
		tb.Fatal(err)
	}
	return a, ctx
}

func BenchmarkServe(b *testing.B) {
	for name, decider := range map[string]instant{"accepted": {}, "sold_out": {soldOut: true}, "shed": {full: true}, "shed_there": {fullThere: true}} {
		b.Run(name, func(b *testing.B) {
			a, ctx := parsed(b, decider)
			b.ReportAllocs()
			for b.Loop() {
				ctx.Response.Reset()
				a.Serve(ctx)
			}
		})
	}
}

// BenchmarkView has what the unsafe conversion of the key saves.
func BenchmarkView(b *testing.B) {
	key := []byte("8e03978e-40d5-43e8-bc93-6894a57f9324")
	identity := stock.Identity{User: 7, Route: stock.OpReserve, Cell: stock.Cell{SKU: 1}}
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			identity.Key = view(key)
			identity.ID(64)
		}
	})
	b.Run("copy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			identity.Key = string(key)
			identity.ID(64)
		}
	})
}

// BenchmarkHead has what the second reading of the header costs.
func BenchmarkHead(b *testing.B) {
	_, ctx := parsed(b, instant{})
	var h head
	b.ReportAllocs()
	for b.Loop() {
		if err := h.read(&ctx.Request.Header); err != nil {
			b.Fatal(err)
		}
	}
}
