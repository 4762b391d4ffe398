package offer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	insertOffer   = "INSERT INTO offers__ (offer_id, seller_id, stage, content, opens_at, closes_at, made_at) VALUES (?, ?, ?, ?, ?, ?, NOW(3))"
	columns       = "seller_id, stage, version, content, made_at"
	lockOffer     = "SELECT " + columns + " FROM offers__ WHERE offer_id = ? FOR UPDATE"
	updateContent = "UPDATE offers__ SET content = ?, opens_at = ?, closes_at = ?, version = version + 1 WHERE offer_id = ? AND stage = 'draft'"
)

// Make makes the draft of an offer.
func (o *Offers) Make(ctx context.Context, by Caller, of ids.Seller, content Content) (Offer, error) {
	if problem := content.check(); problem != nil {
		return Offer{}, problem
	}
	if err := o.sells(ctx, by, of); err != nil {
		return Offer{}, err
	}
	fault := o.owned(ctx, of, &content)
	asked := struct {
		Seller  ids.Seller
		Content Content
	}{of, content}
	in := shardOfNew(of, by)
	return once(ctx, o, in, by, "make_offer", asked, func(c *change) (Offer, error) {
		if fault != nil { // of a repetition nobody asks
			return Offer{}, fault
		}
		stored, err := store(content)
		if err != nil {
			return Offer{}, err
		}
		id := drawn(in)
		if err := c.put(ctx, "write offer", insertOffer, id, of, StageDraft, stored, content.OpensAt, content.ClosesAt); err != nil {
			return Offer{}, err
		}
		l, err := c.offer(ctx, id)
		if err != nil {
			return Offer{}, err
		}
		return l.Offer, c.publish(ctx, &l.Offer)
	})
}

// Change changes the content of a draft, as of a version.
func (o *Offers) Change(ctx context.Context, by Caller, of ids.Seller, id ids.Offer, from web.Version, content Content) (Offer, error) {
	if problem := content.check(); problem != nil {
		return Offer{}, problem
	}
	if err := o.sells(ctx, by, of); err != nil {
		return Offer{}, err
	}
	fault := o.owned(ctx, of, &content)
	asked := struct {
		Seller  ids.Seller
		Offer   ids.Offer
		From    web.Version
		Content Content
	}{of, id, from, content}
	return once(ctx, o, shardOf(id), by, "change_offer", asked, func(c *change) (Offer, error) {
		l, err := c.ofSeller(ctx, of, id, from)
		switch {
		case err != nil:
			return Offer{}, err
		case l.Stage != StageDraft:
			return Offer{}, wrongStage(l.Stage)
		case fault != nil:
			return Offer{}, fault
		}
		stored, err := store(content)
		if err != nil {
			return Offer{}, err
		}
		if err := c.put(ctx, "change offer", updateContent, stored, content.OpensAt, content.ClosesAt, id); err != nil {
			return Offer{}, err
		}
		l.Content, l.Version = content, l.Version+1
		return l.Offer, c.publish(ctx, &l.Offer)
	})
}

// locked is an offer whose row is locked until the transaction ends.
type locked struct{ Offer }

// offer locks an offer.
func (c *change) offer(ctx context.Context, id ids.Offer) (*locked, error) {
	l := &locked{}
	err := scan(c.in.QueryRowContext(ctx, lockOffer, id), id, &l.Offer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errUnknownOffer
	case err != nil:
		return nil, db.WriteError("lock offer", err)
	}
	return l, nil
}

// ofSeller locks an offer of a seller, as of a version. For others there is none.
func (c *change) ofSeller(ctx context.Context, of ids.Seller, id ids.Offer, from web.Version) (*locked, error) {
	l, err := c.offer(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case l.Seller != of:
		return nil, errUnknownOffer
	case l.Version != int64(from):
		return nil, web.ErrChanged
	}
	return l, nil
}

type scanner interface{ Scan(into ...any) error }

// scan reads the columns of an offer.
func scan(row scanner, id ids.Offer, into *Offer) error {
	var content []byte
	if err := row.Scan(&into.Seller, &into.Stage, &into.Version, &content, &into.MadeAt); err != nil {
		return err
	}
	into.ID = id
	if err := json.Unmarshal(content, &into.Content); err != nil {
		return fmt.Errorf("offer %s: %w: %w", id, stock.ErrNotApplied, err)
	}
	return nil
}

func store(c Content) ([]byte, error) {
	stored, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return stored, nil
}

func wrongStage(of Stage) error {
	return &problem.Problem{Kind: problem.WrongState, Detail: "the offer is " + string(of)}
}
