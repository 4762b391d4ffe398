package product

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
)

// full is a tree of as many categories as a shop may have: 10 at the top, 9 below each of those, and 110 below each of these. So 999 are
// below one at the top.
func full() (all []Category) {
	next := ids.Category(1)
	add := func(parent ids.Category) ids.Category {
		c := Category{ID: next, Parent: parent, Position: int(next % 100), State: StateActive, Version: 1, Names: Names{"en": fmt.Sprint("Category ", next)}}
		all, next = append(all, c), next+1
		return c.ID
	}
	for range 10 {
		top := add(0)
		for range 9 {
			middle := add(top)
			for range 110 {
				add(middle)
			}
		}
	}
	return all
}

// BenchmarkTree compares ways to keep a tree: a parent in each row and the tree in memory, which is what the package does; a parent in
// each row and a recursive query; the path in each row; a row for each pair of a category and one above it.
func BenchmarkTree(b *testing.B) {
	all := full()
	tree, err := newTree(all)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("memory/make", func(b *testing.B) {
		for b.Loop() {
			if _, err := newTree(all); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("memory/below", func(b *testing.B) {
		for b.Loop() {
			page, _, err := tree.Below(1, true, 500, 100)
			if err != nil || len(page) != 100 {
				b.Fatal(err)
			}
		}
	})
	b.Run("memory/move", func(b *testing.B) {
		to := all[1]
		to.Parent = 0
		for b.Loop() {
			if err := tree.change(&to); err != nil {
				b.Fatal(err)
			}
		}
	})
	if testing.Short() {
		return
	}
	in := ways(b, tree)
	query := func(name, text string, want int, values ...any) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n := 0
				err := db.Rows(b.Context(), in, func(row *sql.Rows) error {
					var id int64
					n++
					return row.Scan(&id)
				}, text, values...)
				if err != nil || n != want {
					b.Fatal(n, err)
				}
			}
		})
	}
	below := tree.byID[1]
	count := below.end - below.at
	query("parents/below", "WITH RECURSIVE b AS (SELECT id FROM parents WHERE id = 1 UNION ALL SELECT p.id FROM parents AS p JOIN b ON p.parent = b.id) SELECT id FROM b", count)
	query("paths/below", "SELECT id FROM paths WHERE path LIKE '/1/%'", count)
	query("pairs/below", "SELECT id FROM pairs WHERE above = 1", count)
	move := func(name string, statements ...string) {
		b.Run(name, func(b *testing.B) {
			old, to, other := "", "1001", "2001" // categories at the top, between which the one at the top goes to and fro
			for b.Loop() {
				values := strings.NewReplacer("{old}", old, "{to}", to)
				err := db.Write(b.Context(), in, "move", func(tx *sql.Tx) error {
					for _, statement := range statements {
						if _, err := tx.ExecContext(b.Context(), values.Replace(statement)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				old, to, other = "/"+to, other, to
			}
		})
	}
	move("parents/move", "UPDATE parents SET parent = {to} WHERE id = 1")
	move("paths/move", "UPDATE paths SET path = CONCAT('/{to}', SUBSTRING(path, LENGTH('{old}') + 1)) WHERE path LIKE '{old}/1/%'")
	move("pairs/move",
		"DELETE p FROM pairs AS p JOIN pairs AS d ON d.id = p.id AND d.above = 1 LEFT JOIN pairs AS k ON k.id = p.above AND k.above = 1 WHERE k.id IS NULL",
		"INSERT INTO pairs (above, id) SELECT u.above, d.id FROM pairs AS u JOIN pairs AS d ON d.above = 1 WHERE u.id = {to}")
}

// ways has the tree in a database in three ways.
func ways(b *testing.B, tree *Tree) *sql.DB {
	b.Helper()
	in, err := db.Config{DSN: config.Secret(servicetest.MariaDB(b)), ConnsMax: 2, Timeout: time.Minute}.Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close() })
	do := func(statement string) {
		if _, err := in.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	do("CREATE TABLE parents (id BIGINT PRIMARY KEY, parent BIGINT, KEY (parent))")
	do("CREATE TABLE paths (id BIGINT PRIMARY KEY, path VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin, KEY (path))")
	do("CREATE TABLE pairs (above BIGINT, id BIGINT, PRIMARY KEY (above, id), KEY (id))")
	var parents, paths, pairs []string
	for _, n := range tree.order {
		path := "/"
		for _, c := range tree.Path(n.ID) {
			path += fmt.Sprint(int64(c.ID), "/")
			pairs = append(pairs, fmt.Sprintf("(%d, %d)", c.ID, n.ID))
		}
		parents = append(parents, fmt.Sprintf("(%d, %d)", n.ID, n.Parent))
		paths = append(paths, fmt.Sprintf("(%d, '%s')", n.ID, path))
	}
	for table, rows := range map[string][]string{"parents": parents, "paths": paths, "pairs": pairs} {
		do("INSERT INTO " + table + " VALUES " + strings.Join(rows, ", "))
		do("ANALYZE TABLE " + table)
	}
	return in
}
