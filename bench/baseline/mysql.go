package baseline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/core/local"
)

// mysqlShop keeps stock in a table of its own, and orders in another. Commits are durable.
type mysqlShop struct {
	server *local.MariaDB
	db     *sql.DB
}

// openMySQL makes a database with the tables of a way.
func openMySQL(ctx context.Context, p *Place, name, stockTable string) (*mysqlShop, error) {
	server, where, err := p.Database(ctx, name)
	if err != nil {
		return nil, err
	}
	db, err := where.Open(ctx)
	if err != nil {
		return nil, err
	}
	s := &mysqlShop{server: server, db: db}
	const orders = `CREATE TABLE orders (id BIGINT PRIMARY KEY, sku BIGINT NOT NULL, user BIGINT NOT NULL)`
	for _, table := range []string{stockTable, orders} {
		if _, err := db.ExecContext(ctx, table); err != nil {
			return nil, errors.Join(fmt.Errorf("create table: %w", err), s.Close())
		}
	}
	return s, nil
}

const insertOrder = `INSERT INTO orders (id, sku, user) VALUES (?, ?, ?)`

// count counts the units that a query finds left, and the orders.
func (s *mysqlShop) count(ctx context.Context, sku int64, left string) ([]Count, error) {
	c := Count{Store: "MySQL"}
	err1 := s.db.QueryRowContext(ctx, left, sku).Scan(&c.Left)
	err2 := s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM orders WHERE sku = ?`, sku).Scan(&c.Orders)
	return []Count{c}, errors.Join(err1, err2)
}

// clear empties the tables.
func (s *mysqlShop) clear(ctx context.Context, stockTable string) error {
	_, err1 := s.db.ExecContext(ctx, "TRUNCATE TABLE "+stockTable)
	_, err2 := s.db.ExecContext(ctx, "TRUNCATE TABLE orders")
	return errors.Join(err1, err2)
}

// Settle implements Shop.
func (s *mysqlShop) Settle(context.Context) error { return nil }

// Processes implements Shop.
func (s *mysqlShop) Processes() map[string]int { return map[string]int{"mysql": s.server.PID()} }

// Close implements Shop.
func (s *mysqlShop) Close() error { return s.db.Close() }

// mysqlBuyer has a connection and the statements that are prepared on it.
type mysqlBuyer struct {
	conn     *sql.Conn
	prepared []*sql.Stmt
}

func (s *mysqlShop) buyer(queries ...string) (*mysqlBuyer, error) {
	ctx := context.Background()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	b := &mysqlBuyer{conn: conn}
	for _, query := range queries {
		statement, err := conn.PrepareContext(ctx, query) //nolint:sqlclosecheck // b.Close does
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("prepare: %w", err)
		}
		b.prepared = append(b.prepared, statement)
	}
	return b, nil
}

// transact lets a purchase happen in a transaction, which it commits if a unit was sold.
func (b *mysqlBuyer) transact(ctx context.Context, purchase func() (bool, error)) (bool, error) {
	if _, err := b.conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return false, err
	}
	sold, err := purchase()
	end := "ROLLBACK"
	if sold {
		end = "COMMIT"
	}
	_, failed := b.conn.ExecContext(ctx, end)
	return sold && failed == nil, errors.Join(err, failed)
}

// Close implements Buyer.
func (b *mysqlBuyer) Close() {
	for _, statement := range b.prepared {
		_ = statement.Close()
	}
	_ = b.conn.Close()
}
