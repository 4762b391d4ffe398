package product_test

import (
	"database/sql"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/core/db"
	"sluice/core/shard"
)

// TestSnapshots: page by page a snapshot says of each product, category and brand what its last event did, whatever place it is in.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	ctx := t.Context()
	brand, err := s.MakeBrand(ctx, s.by(), product.Brand{Names: product.Names{"en": "Acme", "de": "Akme"}})
	if err != nil {
		t.Fatal(err)
	}
	s.category(category, "Polo shirts")
	content := shirt(category)
	for i := range 20 {
		if content.Brand = 0; i%2 == 0 {
			content.Brand = brand.ID
		}
		of := s.done(s.MakeProduct(ctx, s.as(11), mine, content))
		if i%3 == 0 {
			s.done(s.MoveProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), product.StageArchived))
		}
	}
	want := map[string]outbox.Standing{}
	for _, p := range s.databases.All(shard.Products) {
		err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
			var of outbox.Standing
			var data jsontext.Value
			err := row.Scan(&of.Aggregate, &of.Version, &of.Type, (*[]byte)(&data))
			of.Data = sorted(t, data)
			want[of.Aggregate] = of
			return err
		}, "SELECT aggregate_id, version, type, data FROM product_outbox__ ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]outbox.Standing{}
	for after := (outbox.Cursor{}); ; {
		read, err := product.ParseSnapshotCursor(after.String())
		if err != nil || read != after {
			t.Fatalf("%s is read as %s, %v", after, read, err)
		}
		page, next, err := s.Snapshot(ctx, after, 3)
		if err != nil || len(page) == 0 && next != (outbox.Cursor{}) || len(page) > 3 {
			t.Fatalf("a page has %d, %v", len(page), err)
		}
		for _, of := range page {
			if of.Data = sorted(t, of.Data); got[of.Aggregate].Version != 0 {
				t.Errorf("%s is there twice", of.Aggregate)
			}
			got[of.Aggregate] = of
		}
		if after = next; next == (outbox.Cursor{}) {
			break
		}
	}
	if len(got) != len(want) || len(want) != 20+2+1 {
		t.Errorf("%d stand, and %d have events", len(got), len(want))
	}
	for id, of := range want {
		if got[id] != of {
			t.Errorf("%+v stands, and its last event said %+v", got[id], of)
		}
	}
	if page, next, err := s.Snapshot(ctx, outbox.Cursor{Place: 99}, 3); err != nil || len(page) != 0 || next != (outbox.Cursor{}) {
		t.Errorf("behind all places are %v, %v", page, err)
	}
	for _, text := range []string{"x", "-1.", "01.", "1", ".", "1,", "0.5", "10000.", "0.sel_0000000000001", "0.brd_0000000000000"} {
		if c, err := product.ParseSnapshotCursor(text); err == nil {
			t.Errorf("%q is read as %s", text, c)
		}
	}
}

// sorted is a value as JSON with its members in one order.
func sorted(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = (*jsontext.Value)(&text).Canonicalize()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
