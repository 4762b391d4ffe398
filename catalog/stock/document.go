package stock

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/task"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	documentKey = "seller_id = ? AND source = ? AND document_id = ?"
	// The one who is first says what the document is. Where the shop gives positions, they are times in microseconds.
	insertDocument = "INSERT IGNORE INTO stock_documents__ (seller_id, source, document_id, fingerprint, warehouse_id, position, at, actor) " +
		"VALUES (?, ?, ?, ?, ?, IF(? > 0, ?, ROUND(UNIX_TIMESTAMP(NOW(6)) * 1000000)), NOW(3), ?)"
	selectDocument = "SELECT fingerprint, warehouse_id, position, applied, at FROM stock_documents__ WHERE " + documentKey
	applyDocument  = "UPDATE stock_documents__ SET applied = TRUE WHERE " + documentKey
	selectLines    = "SELECT sku_id, kind, quantity, known, late FROM stock_moves__ WHERE " + documentKey + " ORDER BY sku_id, kind"
)

// taskDocument is the kind of the tasks that bring the lines of a document to their places, if the request did not. It is never renamed.
const taskDocument = "apply_document"

// documentGrace is how long the request has before the task looks.
const documentGrace = 30 * time.Second

// Document is what a system, or somebody of the seller, says of units in a warehouse. It is named by its source and its id, and counts
// once, however often it is sent.
type Document struct {
	Source    string        `json:"source"`
	ID        string        `json:"document_id"`
	Warehouse ids.Warehouse `json:"warehouse_id"`
	// Position says where the document is in the order of its source: a sequence, or a time. A count has all that the source says up to
	// it, that included. Of the shop's own documents it is 0 until the shop gives them one.
	Position int64          `json:"position"`
	Lines    []DocumentLine `json:"lines"`
	Applied  bool           `json:"-"` // all lines are in
	At       time.Time      `json:"-"`
}

// DocumentLine is what a document says of a SKU.
type DocumentLine struct {
	SKU      int64 `json:"sku_id"`
	Kind     Kind  `json:"kind"`
	Quantity int64 `json:"quantity"`
	// Known is what was known at the position of a count, when it came. It is nil of other lines, and of a count that is older than the
	// one in force, which changes nothing.
	Known *int64 `json:"-"`
	// Late is what came after the count, though it is in it: it explains as much of the difference.
	Late int64 `json:"-"`
}

// check refuses what no document is.
func (d *Document) check() *problem.Problem {
	if problem := checkName(d.Source, d.ID); problem != nil {
		return problem
	}
	switch {
	case d.Source == SourceShop && d.Position != 0:
		return malformed("/position", "want none: the shop gives its own documents their positions")
	case d.Source != SourceShop && (d.Position < 1 || d.Position > positionMax):
		return malformed("/position", "want 1 to %d", positionMax)
	case len(d.Lines) == 0 || len(d.Lines) > linesMax:
		return malformed("/lines", "want 1 to %d lines", linesMax)
	}
	seen, counted := map[DocumentLine]bool{}, map[int64]bool{}
	for i, line := range d.Lines {
		at := fmt.Sprint("/lines/", i)
		least, most := int64(1), int64(quantityMax)
		switch {
		case line.Kind == KindCounted:
			least = 0
		case line.Kind == KindCorrected:
			least = -quantityMax
		case !slices.Contains(deltas, line.Kind):
			return malformed(at+"/kind", "want received, shipped, returned, corrected or counted")
		}
		if line.Quantity < least || line.Quantity > most || line.Quantity == 0 && line.Kind != KindCounted {
			return malformed(at+"/quantity", "want %d to %d of %s units, and 0 of counted ones only", least, most, line.Kind)
		}
		is := line.Kind == KindCounted
		if was, has := counted[line.SKU]; has && was != is {
			return malformed(at+"/kind", "want a SKU counted or changed, not both in one document")
		}
		counted[line.SKU] = is
		name := DocumentLine{SKU: line.SKU, Kind: line.Kind}
		if seen[name] {
			return malformed(at, "another line has this SKU and kind")
		}
		seen[name] = true
	}
	slices.SortFunc(d.Lines, func(a, b DocumentLine) int { return cmp.Or(cmp.Compare(a.SKU, b.SKU), cmp.Compare(a.Kind, b.Kind)) })
	return nil
}

// checkName refuses what names no document.
func checkName(source, id string) *problem.Problem {
	switch {
	case !sourceForm.MatchString(source):
		return malformed("", "the source of the path: want a word such as erp-1, of at most 40 characters")
	case !documentForm.MatchString(id):
		return malformed("", "the document_id of the path: want 1 to 64 letters, digits, dots, hyphens and underscores")
	}
	return nil
}

// Tell writes down what a system or a person of a seller says of units. Said again, it changes nothing and answers the same. The lines of
// SKUs in several places are in one after the other; if the process ends between them, a task does the rest.
func (s *Stock) Tell(ctx context.Context, by Caller, of ids.Seller, d Document) (Document, error) {
	lines := slices.Clone(d.Lines)
	if problem := d.check(); problem != nil {
		return Document{}, problem
	}
	if _, err := s.sellers.Admit(ctx, by.Reader, of); err != nil {
		return Document{}, err
	}
	w, err := s.warehouse(ctx, of, d.Warehouse)
	switch {
	case isRefusal(err):
		return Document{}, &problem.Problem{Kind: unknownWarehouse, Pointer: "/warehouse_id"}
	case err != nil:
		return Document{}, err
	case by.Key != 0 && d.Source == SourceShop:
		return Document{}, wrongState("the source shop is of people: a system has a name of its own")
	case w.Source != d.Source:
		return Document{}, wrongState("the warehouse is counted by %s", w.Source)
	}
	if err := s.own(ctx, of, lines); err != nil {
		return Document{}, err
	}
	if err := s.claim(ctx, by, of, &d); err != nil {
		return Document{}, err
	}
	if err := s.apply(ctx, by, of, d); err != nil {
		return Document{}, err
	}
	return s.document(ctx, of, d.Source, d.ID)
}

// own refuses lines about SKUs that are not the seller's.
func (s *Stock) own(ctx context.Context, of ids.Seller, lines []DocumentLine) error {
	refused := func(sku int64) error {
		i := slices.IndexFunc(lines, func(line DocumentLine) bool { return line.SKU == sku })
		return &problem.Problem{Kind: unknownSKU, Pointer: fmt.Sprintf("/lines/%d/sku_id", i)}
	}
	for _, line := range lines {
		if _, ok := s.atSKU(line.SKU); !ok {
			return refused(line.SKU)
		}
	}
	for _, here := range s.places(lines) {
		skus := make([]int64, len(here.lines))
		for i, line := range here.lines {
			skus[i] = line.SKU
		}
		switch foreign, err := s.products.Foreign(ctx, of, skus); {
		case err != nil:
			return err
		case foreign != 0:
			return refused(foreign)
		}
	}
	return nil
}

// linesIn are lines of a document whose SKUs are in one place.
type linesIn struct {
	at    place.Place
	lines []DocumentLine
}

// places divides lines by the places of their SKUs.
func (s *Stock) places(lines []DocumentLine) (all []linesIn) {
	for _, line := range lines {
		at, _ := s.atSKU(line.SKU) // own has looked
		i := slices.IndexFunc(all, func(of linesIn) bool { return of.at.Name == at.Name })
		if i < 0 {
			i, all = len(all), append(all, linesIn{at: at})
		}
		all[i].lines = append(all[i].lines, line)
	}
	return all
}

// told is a document in the data of its task.
type told struct {
	Seller   ids.Seller `json:"seller_id"`
	Document Document   `json:"document"`
}

// claim says once and for all what a document is, and what its position is.
func (s *Stock) claim(ctx context.Context, by Caller, of ids.Seller, d *Document) error {
	text, err := json.Marshal(*d, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	sum := sha256.Sum256(text)
	return s.write(ctx, s.atSeller(of), by, func(c *change) error {
		made, err := c.put(ctx, "write document", insertDocument, of, d.Source, d.ID, sum[:], d.Warehouse, d.Position, d.Position, by.Actor)
		if err != nil {
			return err
		}
		var was []byte
		var warehouse ids.Warehouse
		position := int64(0)
		if err := c.in.QueryRowContext(ctx, selectDocument+" FOR UPDATE", of, d.Source, d.ID).Scan(&was, &warehouse, &position, &d.Applied, &d.At); err != nil {
			return db.WriteError("read document", err)
		}
		if !bytes.Equal(was, sum[:]) {
			return &problem.Problem{Kind: problem.Mismatch, Detail: "the source sent another document under this id"}
		}
		d.Position = position
		if made == 0 {
			return nil
		}
		return task.Of(owner, c.at.Suffix).Add(ctx, c.tx, taskDocument, fmt.Sprintf("%x", sha256.Sum256([]byte(of.String()+" "+d.Source+" "+d.ID))), told{of, *d}, documentGrace)
	})
}

// applyDocument is such a task.
func (s *Stock) applyDocument(ctx context.Context, t task.Task) error {
	var of told
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	d, err := s.header(ctx, of.Seller, of.Document.Source, of.Document.ID)
	if err != nil || d.Applied {
		return err
	}
	return s.apply(ctx, Caller{}, of.Seller, of.Document)
}

// apply brings the lines of a claimed document to their places.
func (s *Stock) apply(ctx context.Context, by Caller, of ids.Seller, d Document) error {
	if d.Applied {
		return nil
	}
	for _, here := range s.places(d.Lines) {
		part := d
		part.Lines = here.lines
		if err := s.write(ctx, here.at, by, func(c *change) error { return c.enter(ctx, of, part) }); err != nil {
			return err
		}
	}
	return s.write(ctx, s.atSeller(of), by, func(c *change) error {
		_, err := c.put(ctx, "apply document", applyDocument, of, d.Source, d.ID)
		return err
	})
}

// Document shows a document to the people and the systems of its seller, with what its counts differ by.
func (s *Stock) Document(ctx context.Context, by seller.Reader, of ids.Seller, source, id string) (Document, error) {
	if problem := checkName(source, id); problem != nil {
		return Document{}, problem
	}
	if _, err := s.sellers.Admit(ctx, by, of); err != nil {
		return Document{}, err
	}
	return s.document(ctx, of, source, id)
}

// header reads a document without its lines.
func (s *Stock) header(ctx context.Context, of ids.Seller, source, id string) (Document, error) {
	at, d := s.atSeller(of), Document{Source: source, ID: id}
	var sum []byte
	err := at.In(at.Writer()).QueryRowContext(ctx, selectDocument, of, source, id).Scan(&sum, &d.Warehouse, &d.Position, &d.Applied, &d.At)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Document{}, errUnknownDocument
	case err != nil:
		return Document{}, readError(at, "stock_documents", err)
	}
	return d, nil
}

func (s *Stock) document(ctx context.Context, of ids.Seller, source, id string) (Document, error) {
	d, err := s.header(ctx, of, source, id)
	if err != nil {
		return Document{}, err
	}
	for _, at := range s.databases.All(shard.Products) {
		err := db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
			var line DocumentLine
			err := row.Scan(&line.SKU, &line.Kind, &line.Quantity, &line.Known, &line.Late)
			d.Lines = append(d.Lines, line)
			return err
		}, selectLines, of, source, id)
		if err != nil {
			return Document{}, readError(at, "stock_moves", err)
		}
	}
	slices.SortFunc(d.Lines, func(a, b DocumentLine) int { return cmp.Or(cmp.Compare(a.SKU, b.SKU), cmp.Compare(a.Kind, b.Kind)) })
	return d, nil
}
