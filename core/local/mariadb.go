package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MariaDB is a running mariadbd. Its only user is root, without a password.
type MariaDB struct {
	server
	Addr string // host:port
	Dir  string // has my.cnf, mariadb.log and the data
}

// StartMariaDB starts a mariadbd with its files in dir, after making its system
// tables if dir is new, and waits until it answers. Commits are durable. Extra are
// lines for my.cnf, read after all others.
func StartMariaDB(ctx context.Context, dir string, extra ...string) (*MariaDB, error) {
	path, err := FindMariaDB()
	if err != nil {
		return nil, err
	}
	if dir, err = makeDir("mariadb", dir); err != nil {
		return nil, err
	}
	if err := installMariaDB(ctx, path, dir); err != nil {
		return nil, err
	}
	m := &MariaDB{Dir: dir}
	m.server = server{
		log:     filepath.Join(dir, "mariadb.log"),
		grace:   60 * time.Second,
		command: func(ctx context.Context) *exec.Cmd { return command(ctx, dir, path, m.args()...) },
		ready:   m.ready,
	}
	err = m.startOnFreePorts(ctx, func() error {
		port, err := FreePort(ctx)
		if err != nil {
			return err
		}
		m.Addr = address(port)
		return os.WriteFile(m.conf(), []byte(m.config(port, extra)), 0o600)
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// installMariaDB gives dir an empty set of databases, unless it has one. Making the set takes a second, so each
// user's first set is kept and copied. If there is no place to keep it, for example without HOME, each set is made
// anew. dir gets its final name when it is complete.
func installMariaDB(ctx context.Context, mariadbd, dir string) error {
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	version, err := exec.CommandContext(ctx, mariadbd, "--no-defaults", "--version").Output()
	if err != nil {
		return fmt.Errorf("ask mariadbd for its version: %w", err)
	}
	fresh := data + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700)); err != nil {
		return fmt.Errorf("make directory of mariadb: %w", err)
	}
	template, err := cached(ctx, fmt.Sprintf("mariadb-%x", crc32.ChecksumIEEE(version)), makeMariaDBTemplate)
	if errors.Is(err, errNoCache) {
		err = makeMariaDBTemplate(ctx, fresh)
	} else if err == nil {
		err = os.CopyFS(fresh, os.DirFS(template))
	}
	if err == nil {
		err = os.Rename(fresh, data)
	}
	if err != nil {
		return fmt.Errorf("make empty databases of mariadb: %w", err)
	}
	return nil
}

func makeMariaDBTemplate(ctx context.Context, dir string) error {
	path, err := find("mariadb-install-db", installMariaDBHint)
	if err != nil {
		return err
	}
	args := []string{
		"--no-defaults", "--datadir=.", "--tmpdir=.", // the tool is a script, and breaks a path with a space
		"--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve",
		"--innodb-log-file-size=4M", // resized at start; a full one makes the copies large
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	return runTool(ctx, dir, path, args...)
}

func (m *MariaDB) conf() string    { return filepath.Join(m.Dir, "my.cnf") }
func (m *MariaDB) data() string    { return filepath.Join(m.Dir, "data") }
func (m *MariaDB) pidFile() string { return filepath.Join(m.Dir, "mariadb.pid") }

// args names all paths on the command line, because an options file would have to quote them. The server works in its
// data directory, because it takes a tmpdir with colons for several directories.
func (m *MariaDB) args() []string {
	return []string{"--defaults-file=" + m.conf(), "--datadir=" + m.data(), "--tmpdir=.", "--pid-file=" + m.pidFile()}
}

func (m *MariaDB) config(port int, extra []string) string {
	lines := []string{
		"[mariadbd]",
		"bind-address = " + host,
		"port = " + strconv.Itoa(port),
		"socket =", // none: its path could exceed the 107 bytes that a socket's may have
		"skip-name-resolve",
		"character-set-server = utf8mb4",
		"collation-server = utf8mb4_general_ci",
		"local-infile = ON",
		"innodb_flush_log_at_trx_commit = 1",
		"sync_binlog = 1",
		"innodb_rollback_on_timeout = ON",
		"innodb_buffer_pool_size = 256M",
		"innodb_log_file_size = 128M",
		"performance_schema = OFF",
	}
	if os.Geteuid() == 0 {
		lines = append(lines, "user = root") // refused for root unless it is said
	}
	return strings.Join(append(lines, extra...), "\n") + "\n"
}

// ready reports whether the process with this id answers at the server's address.
func (m *MariaDB) ready(ctx context.Context, pid int) error {
	db, err := sql.Open("mysql", m.DSN(""))
	if err != nil {
		return err
	}
	defer db.Close()
	var pidFile string
	if err := db.QueryRowContext(ctx, "SELECT @@pid_file").Scan(&pidFile); err != nil {
		return err
	}
	if pidFile != m.pidFile() {
		return fmt.Errorf("another server answers at %s", m.Addr)
	}
	return nil
}

// DSN returns the data source name of a database, or of the server itself for
// an empty name, in the form of go-sql-driver/mysql.
func (m *MariaDB) DSN(database string) string {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = "root", "tcp", m.Addr, database
	return c.FormatDSN()
}

// CreateDatabase makes a database unless it exists. The name needs no quoting.
func (m *MariaDB) CreateDatabase(ctx context.Context, name string) error {
	return m.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+name)
}

// DropDatabase removes a database with everything in it. The name needs no
// quoting.
func (m *MariaDB) DropDatabase(ctx context.Context, name string) error {
	return m.exec(ctx, "DROP DATABASE IF EXISTS "+name)
}

// SetGlobal changes variables of the server, until it is restarted: name = value, ...
func (m *MariaDB) SetGlobal(ctx context.Context, assignments ...string) error {
	return m.exec(ctx, "SET GLOBAL "+strings.Join(assignments, ", GLOBAL "))
}

// Follow makes the server a replica of another one that has a binary log. Each has a server-id of its own.
func (m *MariaDB) Follow(ctx context.Context, primary *MariaDB) error {
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		return err
	}
	err = m.exec(ctx, fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %s, MASTER_USER = 'root', MASTER_PASSWORD = '', "+
		"MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1", host, port))
	if err != nil {
		return err
	}
	return m.exec(ctx, "START SLAVE")
}

// Lag makes a replica keep what it receives without executing it, or go on.
func (m *MariaDB) Lag(ctx context.Context, lags bool) error {
	if lags {
		return m.exec(ctx, "STOP SLAVE SQL_THREAD")
	}
	return m.exec(ctx, "START SLAVE SQL_THREAD")
}

func (m *MariaDB) exec(ctx context.Context, statement string) error {
	db, err := sql.Open("mysql", m.DSN("")+"?tx_read_only=0&max_statement_time=0") // whatever the server's default is
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
