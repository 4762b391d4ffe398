package baseline

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"

	"sluice/bench/load"
	"sluice/core/lifecycle"
)

// httpBuyer buys over a connection that stays open.
type httpBuyer struct {
	conn    *load.Conn
	tokens  []string // of all users, by their id minus one
	request []byte
}

func newHTTPBuyer(addr string, tokens []string) (*httpBuyer, error) {
	conn, err := load.Dial(addr, callTimeout)
	if err != nil {
		return nil, err
	}
	return &httpBuyer{conn: conn, tokens: tokens}, nil
}

// Buy implements Buyer. A buyer who is shed tries again, with the same key.
func (b *httpBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	for {
		r, err := b.post(o)
		switch {
		case err != nil:
			return false, err
		case r.Status == http.StatusCreated:
			return true, nil
		case r.Status == http.StatusConflict && bytes.Contains(r.Body, []byte(`"sold_out"`)):
			return false, nil
		case r.Status != http.StatusServiceUnavailable || !bytes.Contains(r.Body, []byte(`"overloaded"`)):
			return false, fmt.Errorf("status %d: %s", r.Status, r.Body)
		}
		if !lifecycle.Pause(ctx, rand.N(shedPause)) {
			return false, ErrEnded
		}
	}
}

func (b *httpBuyer) post(o Order) (load.Response, error) {
	token := b.tokens[(o.User-1)%int64(len(b.tokens))]
	b.request = load.AppendPost(b.request[:0], "/v1/reservations", token, strconv.FormatInt(o.Number, 10), load.ReserveBody(o.SKU, 1))
	return b.conn.Do(b.request)
}

// Close implements Buyer.
func (b *httpBuyer) Close() { _ = b.conn.Close() }
