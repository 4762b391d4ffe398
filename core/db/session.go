package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
)

const (
	// connIdle is how long a connection may wait in the pool. The server keeps it for sessionIdle, which is longer.
	// So the pool closes idle connections, and the server closes none that is about to be used.
	connIdle    = time.Minute
	sessionIdle = 10 * time.Minute

	// sessionTransactions is a statement of its own, because MySQL and MariaDB have different names for its
	// variables.
	sessionTransactions = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"
	// sessionReads is for a replica. Its account may be allowed to write there, and nobody would notice the difference.
	sessionReads = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY"
	// sessionSettings sets all settings of a session that could let a statement be lost, refused, cut short or read
	// differently. Each server has its own defaults, and init_connect may change them. Only MySQL reads text in
	// /*!80000 */, and only MariaDB reads text in /*M! */. The numbers are seconds: twice the longest wait for a lock,
	// then sessionIdle.
	sessionSettings = "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci" +
		", SESSION autocommit = 1" + // a statement outside a transaction is committed
		", SESSION completion_type = 'NO_CHAIN'" + // a commit begins no other transaction
		", SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'" + // a value that does not fit is an error
		", SESSION time_zone = '+00:00'" +
		", SESSION foreign_key_checks = 1" +
		", SESSION unique_checks = 1" +
		", SESSION sql_safe_updates = 0" + // an UPDATE may have any condition
		", SESSION sql_select_limit = 18446744073709551615" + // evidence is every row; DEFAULT would be the server's
		", SESSION sql_big_selects = 1" +
		", SESSION sql_auto_is_null = 0" +
		", SESSION default_storage_engine = 'InnoDB'" + // for the table that goose makes without naming an engine
		", SESSION innodb_lock_wait_timeout = %[1]d" +
		", SESSION lock_wait_timeout = %[1]d" +
		", SESSION net_read_timeout = 30" + // a large statement may come slowly
		", SESSION net_write_timeout = 60" + // sluice reads evidence only as fast as it compares it
		", SESSION wait_timeout = %[2]d" +
		"/*!80000 , SESSION max_execution_time = 0 */" + // contexts bound statements
		"/*M! , SESSION max_statement_time = 0, SESSION check_constraint_checks = 1" +
		", SESSION idle_transaction_timeout = 0" + // a comparison may think between two pages; wait_timeout holds
		", SESSION idle_readonly_transaction_timeout = 0, SESSION idle_write_transaction_timeout = 0" +
		// The server looks up each value of a list. It makes a list of 1000 values a table to join, and may then read all of
		// the other table.
		", SESSION in_predicate_conversion_threshold = 0 */"
)

// connector gives each new connection the settings that sluice relies on, whatever the settings of the server are. A
// connection that replaces a lost one gets them too.
type connector struct {
	driver.Connector
	transactions string
	settings     string
	timeout      time.Duration
	kept         int // prepared statements of a connection
}

// newConnector makes a wait for a lock end before the driver gives up the connection. Then the server's answer says
// that the statement did nothing.
func newConnector(inner driver.Connector, timeout time.Duration, connsMax int) connector {
	lockWait := max(1, int(timeout/time.Second)-1)
	return connector{inner, sessionTransactions, fmt.Sprintf(sessionSettings, lockWait, int(sessionIdle/time.Second)), timeout, max(1, min(keptMax, keptOfAll/max(1, connsMax)))}
}

// Connect implements driver.Connector. Its error names the server, and says if the server was silent.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	var w *wire
	bounded, cancel := context.WithTimeout(context.WithValue(ctx, wireKey{}, &w), c.timeout)
	defer cancel()
	conn, err := c.connect(bounded, &w)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %v: %w", c.timeout, bounded.Err())
	}
	if err != nil {
		return nil, &config.ServerError{Server: "MySQL", Err: w.told(err)}
	}
	return told{conn, w, &kept{most: c.kept}}, nil
}

var errIncomplete = errors.New("the driver lacks what database/sql knows of")

// connect leaves the network connection in w before it talks to the server.
func (c connector) connect(ctx context.Context, w **wire) (s session, err error) {
	var conn driver.Conn
	defer func() {
		said := recover() // see told.survive
		if said == nil {
			return
		}
		s, err = nil, (*w).stopped(said)
		if conn != nil {
			_ = conn.Close()
		}
	}()
	conn, err = c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s, ok := conn.(session)
	if !ok {
		return nil, errors.Join(errIncomplete, conn.Close())
	}
	for _, statement := range []string{c.transactions, c.settings} {
		if _, err := s.ExecContext(ctx, statement, nil); err != nil {
			if errors.Is(err, mysql.ErrPktTooLarge) { // the driver's text would name a setting of the driver
				err = fmt.Errorf("max_allowed_packet is too small to begin with: set it to %d or more: %w", PacketMin, mysql.ErrPktTooLarge)
			}
			return nil, errors.Join(err, conn.Close())
		}
	}
	return s, nil
}

// session has the methods of a connection of the driver.
type session interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}
