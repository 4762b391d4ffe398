package cli_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/core/schema"
)

// access is who may have SQL about a table in its source: a package, or a constant of a package.
type access struct{ reads, writes []string }

// tables are all tables of the database. core/ledger reads what others want to know of stock. bench/baseline judges what a run has
// left, so it looks for itself.
var tables = map[string]access{
	"ledger":              {reads: []string{"core/archive.deleteLedger", "core/ledger", "persister.selectLedger"}, writes: []string{"persister"}},
	"product_inventories": {reads: []string{"bench/baseline", "core/ledger", "persister.lockStock"}, writes: []string{"persister"}},
	"reservations":        {reads: []string{"bench/baseline", "core/archive.deleteRows", "core/ledger", "persister.lockRow"}, writes: []string{"persister"}},
	"applied_marks":       {reads: []string{"core/archive.lockMarks", "core/ledger", "persister.lockMarks"}, writes: []string{"persister"}},
	"dead_letters": {
		reads:  []string{"core/ledger", "persister.selectLetters", "persister.lockReplay"},
		writes: []string{"core/ledger", "persister"},
	},
	"repairs": {
		reads:  []string{"core/archive.countRepairs", "core/archive.deleteRepairs", "core/archive.selectRepairs", "core/ledger", "persister.lockRepair"},
		writes: []string{"core/ledger", "persister"},
	},
	"repair_approvals":   {reads: []string{"core/ledger"}, writes: []string{"core/ledger"}},
	"sales":              {reads: []string{"core/ledger", "core/registry", "core/sale"}, writes: []string{"core/registry", "core/sale"}},
	"sale_items":         {reads: []string{"core/registry", "core/sale"}, writes: []string{"core/sale"}},
	"registrations":      {reads: []string{"core/registry"}, writes: []string{"core/registry"}},
	"assess_answers":     {reads: []string{"catalog/assess"}, writes: []string{"catalog/assess"}},
	"assess_counts":      {reads: []string{"catalog/assess"}, writes: []string{"catalog/assess"}},
	"notify_messages":    {reads: []string{"catalog/notify"}, writes: []string{"catalog/notify"}},
	"notify_counts":      {reads: []string{"catalog/notify"}, writes: []string{"catalog/notify"}},
	"notify_tasks":       {}, // the statements are made with the name of the owner
	"notify_schedule":    {},
	"users":              {reads: []string{"catalog/account", "catalog/account/internal/rows"}, writes: []string{"catalog/account", "catalog/account/internal/rows"}},
	"claims":             {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"identities":         {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"credentials":        {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"challenges":         {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"factors":            {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"sign_ins":           {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"sessions":           {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"granted_roles":      {reads: []string{"catalog/account"}, writes: []string{"catalog/account"}},
	"sellers":            {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_history":     {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_approvals":   {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_members":     {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_invitations": {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_offers":      {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_api_keys":    {}, // the statements are made with the name of the owner
	"seller_holds":       {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_webhooks":    {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_deliveries":  {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"seller_acts":        {reads: []string{"catalog/seller"}, writes: []string{"catalog/seller"}},
	"category_tree":      {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"categories":         {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"category_names":     {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"attributes":         {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"attribute_names":    {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"brands":             {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"brand_names":        {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"product_blocks":     {writes: []string{"catalog/product"}},
	"products":           {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"warehouses":         {reads: []string{"catalog/stock"}, writes: []string{"catalog/stock"}},
	"stock_skus":         {reads: []string{"catalog/stock"}, writes: []string{"catalog/stock"}},
	"stock_units":        {reads: []string{"catalog/stock"}, writes: []string{"catalog/stock"}},
	"stock_documents":    {reads: []string{"catalog/stock"}, writes: []string{"catalog/stock"}},
	"stock_moves":        {reads: []string{"catalog/stock"}, writes: []string{"catalog/stock"}},
	"product_texts":      {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"product_skus":       {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"product_changes":    {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"prices":             {reads: []string{"catalog/price"}, writes: []string{"catalog/price"}},
	"price_changes":      {reads: []string{"catalog/price"}, writes: []string{"catalog/price"}},
	"product_media":      {reads: []string{"catalog/product"}, writes: []string{"catalog/product"}},
	"account_keys":       {reads: []string{"catalog/account"}}, // the other statements are made with the name of the owner
	"account_key_proofs": {},
	"profiles":           {reads: []string{"catalog/account", "catalog/account/internal/rows"}, writes: []string{"catalog/account/internal/rows"}},
	"addresses":          {reads: []string{"catalog/account", "catalog/account/internal/rows"}, writes: []string{"catalog/account/internal/rows"}},
	"consents":           {reads: []string{"catalog/account/internal/rows"}, writes: []string{"catalog/account/internal/rows"}},
	"pools":              {reads: []string{"core/ledger"}, writes: []string{"core/sale"}},
	"sale_keys":          {reads: []string{"core/sale"}, writes: []string{"core/sale"}},
	"redis_vettings":     {reads: []string{"core/evidence"}, writes: []string{"core/evidence"}},
	"reconcile_runs":     {reads: []string{"core/reconcile/journal"}, writes: []string{"core/reconcile/journal"}},
	"reconcile_findings": {reads: []string{"core/reconcile/journal"}, writes: []string{"core/reconcile/journal"}},
	"reconcile_lease":    {writes: []string{"core/reconcile/journal"}},
	"reconcile_pass":     {reads: []string{"core/reconcile/journal"}, writes: []string{"core/reconcile/journal"}},
	"ledger_identity":    {reads: []string{"core/evidence"}, writes: []string{"core/evidence"}},
	"checkpoints":        {reads: []string{"core/ledger"}, writes: []string{"core/archive"}},
	"archived_buyers":    {reads: []string{"core/ledger"}, writes: []string{"core/archive"}},
	"archive_files":      {reads: []string{"core/archive.selectNextFile", "core/ledger"}, writes: []string{"core/archive"}},
	"archive_runs":       {reads: []string{"core/archive"}, writes: []string{"core/archive"}},
	"lost_cells":         {reads: []string{"core/ledger"}, writes: []string{"core/ledger"}},
	"carts":              {reads: []string{"catalog/cart"}, writes: []string{"catalog/cart"}},
	"cart_guests":        {reads: []string{"catalog/cart"}, writes: []string{"catalog/cart"}},
	"cart_merges":        {reads: []string{"catalog/cart"}, writes: []string{"catalog/cart"}},
	"cart_shares":        {reads: []string{"catalog/cart"}, writes: []string{"catalog/cart"}},
	// Those that each package of the shop has: the statements are made with the name of the owner.
	"account_outbox": {}, "account_versions": {}, "account_tasks": {}, "account_schedule": {}, "account_replays": {},
	"offers":       {reads: []string{"catalog/offer"}, writes: []string{"catalog/offer"}},
	"offer_moves":  {reads: []string{"catalog/offer"}, writes: []string{"catalog/offer"}},
	"offer_outbox": {}, "offer_versions": {}, "offer_tasks": {}, "offer_schedule": {}, "offer_replays": {},
	"product_outbox": {}, "product_versions": {}, "product_tasks": {}, "product_schedule": {}, "product_replays": {},
	"price_outbox": {}, "price_versions": {}, "price_tasks": {}, "price_schedule": {}, "price_replays": {},
	"cart_tasks": {}, "cart_schedule": {}, "cart_replays": {},
	"stock_outbox": {}, "stock_versions": {}, "stock_tasks": {}, "stock_schedule": {}, "stock_replays": {},
	"seller_outbox": {}, "seller_versions": {}, "seller_tasks": {}, "seller_schedule": {}, "seller_replays": {},
	"audit_entries":  {reads: []string{"catalog/account/audit"}, writes: []string{"catalog/account/audit"}},
	"database_beats": {reads: []string{"core/db"}, writes: []string{"core/db", "core/place"}}, // the latter tells people a statement
}

// TestTablesHaveOneReader looks for SQL in the strings of all sources but tests, and compares who has it with who may.
func TestTablesHaveOneReader(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(tables))
	about := regexp.MustCompile(`\b(FROM|JOIN|INTO|UPDATE)\s+` + "`?(" + strings.Join(names, "|") + `)(?:__)?\b`)
	found := map[string]access{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		in := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), ".."+string(filepath.Separator)))
		return eachString(path, func(constant, text string) {
			for _, match := range about.FindAllStringSubmatch(text, -1) {
				of := found[match[2]]
				if match[1] == "FROM" || match[1] == "JOIN" {
					of.reads = append(of.reads, whose(tables[match[2]].reads, in, constant))
				} else {
					of.writes = append(of.writes, whose(tables[match[2]].writes, in, constant))
				}
				found[match[2]] = of
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for _, does := range []struct {
			what        string
			found, want []string
		}{{"read", found[name].reads, tables[name].reads}, {"written", found[name].writes, tables[name].writes}} {
			slices.Sort(does.found)
			if got := slices.Compact(does.found); !slices.Equal(got, slices.Sorted(slices.Values(does.want))) {
				t.Errorf("%s is %s by %q, want %q: let a function of core/ledger read it for the others", name, does.what, got, does.want)
			}
		}
	}
}

// TestTablesAreAllThere compares the list with what the migrations make.
func TestTablesAreAllThere(t *testing.T) {
	t.Parallel()
	files, err1 := filepath.Glob("../persister/migrations/*.sql")
	places, err2 := filepath.Glob("../core/place/migrations/*.sql")
	shop, err3 := filepath.Glob("../catalog/*/migrations/*.sql")
	acts, err4 := filepath.Glob("../catalog/account/*/migrations/*.sql")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, file := range slices.Concat(files, places, shop, acts) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, match := range regexp.MustCompile(`(CREATE|DROP) TABLE (?:IF (?:NOT )?EXISTS )?(\w+)`).FindAllStringSubmatch(up, -1) {
			name := strings.TrimSuffix(match[2], schema.Suffix)
			if made = append(made, name); match[1] == "DROP" {
				made = slices.DeleteFunc(made, func(of string) bool { return of == name })
			}
		}
	}
	slices.Sort(made)
	if listed := slices.Sorted(maps.Keys(tables)); !slices.Equal(slices.Compact(made), listed) {
		t.Errorf("migrations make %q, and the test knows %q", made, listed)
	}
}

// TestTablesHaveARetention: the page says of each table how long it keeps its rows.
func TestTablesHaveARetention(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/archive.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## How long each table keeps its rows")
	section, _, _ = strings.Cut(section, "\n## ")
	for name := range tables {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("docs/archive.md does not say how long the table %s keeps its rows", name)
		}
	}
}

// whose is the package, or the constant where that may do what the package may not.
func whose(may []string, in, constant string) string {
	if !slices.Contains(may, in) && constant != "" {
		return in + "." + constant
	}
	return in
}

// eachString calls do for each string of a source, with the name of the constant or variable that it is part of.
func eachString(path string, do func(constant, text string)) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var constant string
	var end token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			constant, end = n.Names[0].Name, n.End()
		case *ast.BasicLit:
			if n.Pos() >= end {
				constant = ""
			}
			if n.Kind == token.STRING {
				do(constant, n.Value)
			}
		}
		return true
	})
	return nil
}
