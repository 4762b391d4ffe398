package offer

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"sluice/catalog/internal/queue"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/shard"
)

const (
	selectOffer    = "SELECT " + columns + " FROM offers__ WHERE offer_id = ?"
	selectOfSeller = "SELECT offer_id, " + columns + " FROM offers__ WHERE seller_id = ? AND offer_id > ? ORDER BY offer_id LIMIT ?"
	// A seller's people reach rows of their own seller only.
	selectMoves = "SELECT m.version, m.was, m.became, m.at, m.actor, m.reason FROM offers__ AS o JOIN offer_moves__ AS m ON m.offer_id = o.offer_id " +
		"WHERE o.offer_id = ? AND o.seller_id = ? ORDER BY m.version DESC LIMIT ?"
	selectComing = "SELECT offer_id, " + columns + " FROM offers__ WHERE stage = 'approved' AND closes_at > NOW(3) " +
		"AND (opens_at > ? OR opens_at = ? AND offer_id > ?) ORDER BY opens_at, offer_id LIMIT ?"
)

// OfSeller shows an offer to the people and the systems of its seller.
func (o *Offers) OfSeller(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Offer) (Offer, error) {
	if _, err := o.sellers.Admit(ctx, by, of); err != nil {
		return Offer{}, err
	}
	one, err := o.outline(ctx, id)
	if err == nil && one.Seller != of {
		err = errUnknownOffer
	}
	return one, err
}

// Reviewed shows an offer to reviewers.
func (o *Offers) Reviewed(ctx context.Context, id ids.Offer) (Offer, error) {
	return o.outline(ctx, id)
}

// Shown shows an offer to shoppers: one that was approved, of a seller whose products they see.
func (o *Offers) Shown(ctx context.Context, id ids.Offer) (Offer, error) {
	one, err := o.outline(ctx, id)
	switch {
	case err != nil:
		return Offer{}, err
	case !shown(one.Stage):
		return Offer{}, errUnknownOffer
	}
	switch state, err := o.sellers.StateOf(ctx, one.Seller); {
	case isRefusal(err), err == nil && !seller.Means(state).Listed:
		return Offer{}, errUnknownOffer
	case err != nil:
		return Offer{}, err
	}
	return one, nil
}

// List lists the offers of a seller after one, by their ids. They are in any place, so that all places are asked. More says that there are
// others behind them.
func (o *Offers) List(ctx context.Context, by seller.Reader, of ids.Seller, after ids.Offer, limit int) (page []Offer, more bool, err error) {
	if _, err := o.sellers.Admit(ctx, by, of); err != nil {
		return nil, false, err
	}
	for _, at := range o.databases.All(shard.Values) {
		err := db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
			page = append(page, Offer{})
			return scanListed(row, &page[len(page)-1])
		}, selectOfSeller, of, int64(after), limit+1)
		if err != nil {
			return nil, false, readError(at, "offers", err)
		}
	}
	slices.SortFunc(page, func(a, b Offer) int { return cmp.Compare(a.ID, b.ID) })
	if len(page) > limit {
		return page[:limit], true, nil
	}
	return page, false, nil
}

// coming are the offers that shoppers wait for, those first that open first.
var coming = queue.List[Offer]{
	Name: "offers", Table: "offers", Statement: selectComing, Scan: scanListed,
	At: func(one *Offer) queue.Cursor { return queue.Cursor{At: one.OpensAt, ID: int64(one.ID)} },
}

// Coming lists the offers that shoppers wait for, those first that open first. Next is zero after the last page. A page lacks offers of sellers
// who do not sell at the moment, so it may be short.
func (o *Offers) Coming(ctx context.Context, after queue.Cursor, limit int) (page []Offer, next queue.Cursor, err error) {
	page, next, err = coming.Page(ctx, o.databases.All(shard.Values), after, limit)
	if err != nil {
		return nil, queue.Cursor{}, err
	}
	var sellers []ids.Seller
	for i := range page {
		if !slices.Contains(sellers, page[i].Seller) {
			sellers = append(sellers, page[i].Seller)
		}
	}
	sells, err := o.sellers.Selling(ctx, sellers)
	if err != nil {
		return nil, queue.Cursor{}, err
	}
	return slices.DeleteFunc(page, func(one Offer) bool { return !sells[one.Seller] }), next, nil
}

// scanListed reads a row that begins with the id of an offer.
func scanListed(row *sql.Rows, into *Offer) error {
	var id ids.Offer
	err := scan(listed{row, &id}, 0, into)
	into.ID = id
	return err
}

// listed reads an id before what else a row has.
type listed struct {
	row *sql.Rows
	id  *ids.Offer
}

// Scan implements scanner.
func (l listed) Scan(into ...any) error { return l.row.Scan(append([]any{l.id}, into...)...) }

// Move is a move that was made.
type Move struct {
	Version  int64 // of the offer, by the move
	From, To Stage
	At       time.Time
	Actor    string
	Reason   string
}

const movesMax = 100

// Moves lists the last moves of an offer to the people and the systems of its seller, the last one first.
func (o *Offers) Moves(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Offer) (all []Move, err error) {
	if _, err := o.OfSeller(ctx, by, of, id); err != nil {
		return nil, err
	}
	at := o.databases.At(shardOf(id))
	err = db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
		var m Move
		err := row.Scan(&m.Version, &m.From, &m.To, &m.At, &m.Actor, &m.Reason)
		all = append(all, m)
		return err
	}, selectMoves, id, of, movesMax)
	if err != nil {
		return nil, readError(at, "offer_moves", err)
	}
	return all, nil
}
