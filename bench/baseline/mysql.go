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

// openMySQL makes a database with the tables of a way, and the procedure that a purchase calls. A call is one round trip, so that
// a row is locked for as long as the server needs, and not for as long as a client takes to answer.
func openMySQL(ctx context.Context, p *Place, name, stockTable, procedure string) (*mysqlShop, error) {
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
	for _, made := range []string{stockTable, orders, procedure} {
		if _, err := db.ExecContext(ctx, made); err != nil {
			return nil, errors.Join(fmt.Errorf("create: %w", err), s.Close())
		}
	}
	return s, nil
}

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

// mysqlBuyer has a connection, and the call that is prepared on it.
type mysqlBuyer struct {
	conn *sql.Conn
	call *sql.Stmt
}

func (s *mysqlShop) buyer(call string) (*mysqlBuyer, error) {
	ctx := context.Background()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	prepared, err := conn.PrepareContext(ctx, call)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare: %w", err), conn.Close())
	}
	return &mysqlBuyer{conn: conn, call: prepared}, nil
}

// Close implements Buyer.
func (b *mysqlBuyer) Close() {
	_ = b.call.Close()
	_ = b.conn.Close()
}
