// Package db owns the settings of MySQL and the one way to connect to it. It gives each session the settings that the
// statements rely on, and refuses a server that may forget what it committed.
package db

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
)

// Config says where the ledger is, and bounds what sluice asks of its server.
type Config struct {
	DSN       config.Secret `kong:"-" env:"SLUICE_MYSQL_DSN" help:"Database, as user:password@tcp(host:port)/name or user:password@unix(/socket)/name. Options after it that are not about TLS or who connects have no effect."`
	DSNFile   string        `name:"mysql-dsn-file" private:"" env:"SLUICE_MYSQL_DSN_FILE" group:"MySQL" placeholder:"PATH"`
	TLSCAFile string        `name:"mysql-tls-ca-file" env:"SLUICE_MYSQL_TLS_CA_FILE" group:"MySQL" placeholder:"PATH"`
	ConnsMax  int           `name:"mysql-conns-max" env:"SLUICE_MYSQL_CONNS_MAX" group:"MySQL" default:"8"`
	Timeout   time.Duration `name:"mysql-timeout" env:"SLUICE_MYSQL_TIMEOUT" group:"MySQL" default:"5s"`
}

const (
	dialTimeout  = 2 * time.Second
	connLifetime = 3 * time.Minute // then connections move to a server that has taken over
	dsnForm      = "user:password@tcp(host:port)/database or user:password@unix(/socket)/database"
)

// Validate joins all faults of the group, those of the files that it names included.
func (m Config) Validate() error {
	var f config.Faults
	if m.DSN != "" || !config.ReadOnce(m.DSNFile) {
		_, err := m.parsed()
		f.Include(err)
	}
	f.Include(m.bounds())
	return f.Err()
}

// ValidateOptional is Validate for a program that can work without MySQL. It accepts settings that name no server.
func (m Config) ValidateOptional() error {
	if m.DSN == "" && m.DSNFile == "" {
		return m.bounds()
	}
	return m.Validate()
}

// bounds joins the faults of all settings except the server's address.
func (m Config) bounds() error {
	var f config.Faults
	if !config.ReadOnce(m.TLSCAFile) {
		_, err := m.tls()
		f.Include(err)
	}
	config.Between(&f, "mysql-conns-max", m.ConnsMax, 1, 1000)
	config.Between(&f, "mysql-timeout", m.Timeout, 100*time.Millisecond, 5*time.Minute)
	return f.Err()
}

// Open connects, and refuses a server that may forget what it committed. The caller closes the database.
func (m Config) Open(ctx context.Context) (*sql.DB, error) {
	db, err := m.OpenUnchecked()
	if err != nil {
		return nil, err
	}
	if err := Vet(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Vet refuses a server that may forget what it committed.
func Vet(ctx context.Context, db *sql.DB) error {
	faults, err := Faults(ctx, db)
	if err == nil {
		err = Durability(faults)
	}
	if err != nil {
		return &config.ServerError{Server: "MySQL", Err: fmt.Errorf("open mysql: %w", err)}
	}
	return nil
}

// OpenUnchecked is Open, but asks the server nothing. It is for doctor and for tests.
func (m Config) OpenUnchecked() (*sql.DB, error) {
	connector, err := m.connector()
	if err != nil {
		return nil, err
	}
	return m.pool(connector), nil
}

// OpenReader is OpenUnchecked for a replica: its sessions refuse to write.
func (m Config) OpenReader() (*sql.DB, error) {
	connector, err := m.connector()
	if err != nil {
		return nil, err
	}
	connector.transactions = sessionReads
	return m.pool(connector), nil
}

func (m Config) pool(from driver.Connector) *sql.DB {
	db := sql.OpenDB(from)
	db.SetMaxOpenConns(m.ConnsMax)
	db.SetMaxIdleConns(m.ConnsMax)
	db.SetConnMaxLifetime(connLifetime)
	db.SetConnMaxIdleTime(connIdle)
	return db
}

// Connector makes connections with the settings that sluice needs, whatever the settings of the server are.
func (m Config) Connector() (driver.Connector, error) { return m.connector() }

func (m Config) connector() (connector, error) {
	options, err := m.options()
	if err != nil {
		return connector{}, fmt.Errorf("configure mysql: %w", err)
	}
	inner, err := mysql.NewConnector(options)
	if err != nil {
		return connector{}, errors.New("configure mysql: the driver refuses the DSN") // its error may quote the password
	}
	return newConnector(inner, m.Timeout, m.ConnsMax), nil
}

// NameIn is the name that a database has at its server, by a DSN of it. Its error never shows the DSN.
func NameIn(dsn config.Secret) (string, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return "", err
	}
	return c.DBName, nil
}

// Where says in one form which database a DSN names, without who connects and how: two DSNs of one database mostly differ
// in these only. Names of this machine are one name. Its error never shows the DSN.
func Where(dsn config.Secret) (string, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return "", err
	}
	if c.Net == "unix" {
		return c.Addr + "/" + c.DBName, nil
	}
	host, port, err := net.SplitHostPort(c.Addr) // the driver adds a port that is missing
	if err != nil {
		return "", errors.New("mysql-dsn: malformed: want " + dsnForm)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if at := net.ParseIP(host); at != nil {
		host = at.String()
	}
	if at := net.ParseIP(host); host == "localhost" || at.IsLoopback() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port) + "/" + c.DBName, nil
}

// options returns the options of a connection. It takes from the DSN where the database is and who connects. Any other option
// of a DSN could lose, leak or misread data, and is without effect.
func (m Config) options() (*mysql.Config, error) {
	from, err := m.parsed()
	if err != nil {
		return nil, err
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = from.User, from.Passwd, from.Net, from.Addr, from.DBName
	c.TLS, c.TLSConfig, c.ServerPubKey = from.TLS, from.TLSConfig, from.ServerPubKey
	c.AllowNativePasswords, c.ConnectionAttributes = from.AllowNativePasswords, from.ConnectionAttributes
	tlsConfig, err := m.tls()
	if err != nil {
		return nil, err
	}
	if tlsConfig != nil {
		c.TLS, c.TLSConfig = tlsConfig, ""
	}
	c.Timeout, c.ReadTimeout, c.WriteTimeout = dialTimeout, m.Timeout, m.Timeout
	c.DialFunc = dial
	c.RejectReadOnly = true // a demoted primary's connections are dropped, not used on
	c.ParseTime, c.Loc = true, time.UTC
	c.Logger = &mysql.NopLogger{} // the driver also returns as an error what it would log
	c.MaxAllowedPacket = 0        // the server's own bound: the driver does not send what the server would refuse
	return c, nil
}

func (m Config) parsed() (*mysql.Config, error) {
	dsn, err := m.DSN.FromFile("mysql-dsn-file", m.DSNFile)
	if err != nil {
		return nil, err
	}
	return parseDSN(dsn)
}

func (m Config) tls() (*tls.Config, error) { return config.ClientTLS("mysql-tls-ca-file", m.TLSCAFile) }

// parseDSN never passes the driver's own error on: for some malformed DSNs it quotes the password.
func parseDSN(dsn config.Secret) (*mysql.Config, error) {
	c, err := parse(dsn.Reveal())
	switch {
	case dsn == "":
		return nil, errors.New("mysql-dsn: missing: want the environment variable SLUICE_MYSQL_DSN, or --mysql-dsn-file")
	case err != nil:
		return nil, errors.New("mysql-dsn: malformed: want " + dsnForm)
	case c.Net != "tcp" && c.Net != "unix":
		return nil, errors.New("mysql-dsn: neither tcp nor unix: want " + dsnForm)
	case c.DBName == "":
		return nil, errors.New("mysql-dsn: no database: want " + dsnForm)
	case c.TLSConfig == "preferred" || c.TLSConfig == "skip-verify":
		return nil, errors.New("mysql-dsn: tls=" + c.TLSConfig + " protects from nobody: want --mysql-tls-ca-file")
	}
	return c, nil
}

// parse is the driver's ParseDSN, which panics over an option that it once had.
func parse(dsn string) (c *mysql.Config, err error) {
	defer func() {
		if said := recover(); said != nil {
			err = fmt.Errorf("%v", said)
		}
	}()
	return mysql.ParseDSN(dsn)
}
