// Package redis owns the settings of a Redis, and makes clients from them. It does not know what the Redis contains.
package redis

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/config"
)

// Config says where the Redis with the stock is, and how long to wait for it.
type Config struct {
	Addrs        []string      `name:"redis-addr" env:"SLUICE_REDIS_ADDR" group:"Redis" placeholder:"HOST:PORT"` // or unix:///path
	User         string        `name:"redis-user" env:"SLUICE_REDIS_USER" group:"Redis" placeholder:"NAME"`
	Password     config.Secret `kong:"-" env:"SLUICE_REDIS_PASSWORD" help:"Password of the user."`
	PasswordFile string        `name:"redis-password-file" private:"" env:"SLUICE_REDIS_PASSWORD_FILE" group:"Redis" placeholder:"PATH"`
	TLSCAFile    string        `name:"redis-tls-ca-file" env:"SLUICE_REDIS_TLS_CA_FILE" group:"Redis" placeholder:"PATH"`

	SentinelAddrs        []string      `name:"redis-sentinel-addrs" env:"SLUICE_REDIS_SENTINEL_ADDRS" group:"Redis" placeholder:"HOST:PORT"`
	SentinelMaster       string        `name:"redis-sentinel-master" env:"SLUICE_REDIS_SENTINEL_MASTER" group:"Redis" placeholder:"NAME"`
	SentinelUser         string        `name:"redis-sentinel-user" env:"SLUICE_REDIS_SENTINEL_USER" group:"Redis" placeholder:"NAME"`
	SentinelPassword     config.Secret `kong:"-" env:"SLUICE_REDIS_SENTINEL_PASSWORD" help:"Password at the Sentinels."`
	SentinelPasswordFile string        `name:"redis-sentinel-password-file" private:"" env:"SLUICE_REDIS_SENTINEL_PASSWORD_FILE" group:"Redis" placeholder:"PATH"`

	CallTimeout time.Duration `name:"redis-call-timeout" env:"SLUICE_REDIS_CALL_TIMEOUT" group:"Redis" default:"300ms"`
}

// hangMax is how long a server behind Sentinels may be silent before its connections are closed.
const hangMax = 2 * time.Second

// Replicas says how long processes that sell wait for replicas.
type Replicas struct {
	Timeout time.Duration `name:"redis-replica-timeout" env:"SLUICE_REDIS_REPLICA_TIMEOUT" group:"Redis" default:"100ms"`
}

// Validate joins all faults of the group.
func (r Replicas) Validate() error {
	var f config.Faults
	config.Between(&f, "redis-replica-timeout", r.Timeout, time.Millisecond, 10*time.Second)
	return f.Err()
}

// Validate joins all faults of the group, those of the files that it names included.
func (r *Config) Validate() error {
	var f config.Faults
	r.validateAddresses(&f)
	if !config.ReadOnce(r.PasswordFile) {
		_, err := r.password()
		f.Include(err)
	}
	if !config.ReadOnce(r.SentinelPasswordFile) {
		_, err := r.sentinelPassword()
		f.Include(err)
	}
	if !config.ReadOnce(r.TLSCAFile) {
		_, err := r.tls()
		f.Include(err)
	}
	config.Between(&f, "redis-call-timeout", r.CallTimeout, time.Millisecond, 10*time.Second)
	return f.Err()
}

func (r *Config) validateAddresses(f *config.Faults) {
	switch sentinel := r.BySentinel(); {
	case sentinel && len(r.Addrs) > 0:
		f.Add("redis-addr", strings.Join(r.Addrs, ","), "none beside redis-sentinel-addrs: the Sentinels name the primary")
	case !sentinel && len(r.Addrs) == 0:
		f.Missing("redis-addr", "host:port of Redis, or of nodes of a cluster; or unix:///path of its socket; or redis-sentinel-addrs")
	case sentinel && len(r.SentinelAddrs) == 0:
		f.Missing("redis-sentinel-addrs", "host:port of Sentinels")
	case sentinel && r.SentinelMaster == "":
		f.Missing("redis-sentinel-master", "the name under which the Sentinels watch the primary")
	}
	for _, addr := range r.Addrs {
		if isSocket(addr) {
			r.validateSocket(f, addr)
		} else {
			config.HostPort(f, "redis-addr", addr)
		}
	}
	for _, addr := range r.SentinelAddrs {
		config.HostPort(f, "redis-sentinel-addrs", addr)
	}
}

// validateSocket checks the path of a Unix socket. The nodes of a cluster know each other by host and port, so a socket is that
// of a Redis alone.
func (r *Config) validateSocket(f *config.Faults, addr string) {
	switch {
	case len(r.Addrs) > 1:
		f.Add("redis-addr", strings.Join(r.Addrs, ","), "one unix:///path, or any number of host:port")
	case !filepath.IsAbs(socketPath(addr)):
		f.Add("redis-addr", fmt.Sprintf("%q", addr), "unix:///path, from the root")
	case r.TLSCAFile != "":
		f.Add("redis-tls-ca-file", r.TLSCAFile, "none with a Unix socket, which speaks no TLS")
	}
}

// BySentinel reports whether Sentinels name the primary.
func (r *Config) BySentinel() bool { return len(r.SentinelAddrs) > 0 || r.SentinelMaster != "" }

// Places returns the addresses to begin with, for people.
func (r *Config) Places() string {
	if r.BySentinel() {
		return fmt.Sprintf("%s of sentinels %s", r.SentinelMaster, strings.Join(r.SentinelAddrs, ","))
	}
	return strings.Join(r.Addrs, ",")
}

// Client connects. The caller closes the client.
func (r *Config) Client() (rueidis.Client, error) {
	options, err := r.options()
	if err != nil {
		return nil, fmt.Errorf("configure redis: %w", err)
	}
	client, err := rueidis.NewClient(options)
	if err != nil {
		return nil, &config.ServerError{Server: "Redis", Err: fmt.Errorf("connect to redis %s: %w", r.Places(), err)}
	}
	return client, nil
}

// Server connects to one server, whatever its role, with the credentials of Redis. The caller closes the client.
func (r *Config) Server(addr string) (rueidis.Client, error) {
	return r.single(addr, func(o *rueidis.ClientOption) {})
}

// Sentinel connects to one Sentinel, with the credentials of Sentinels. The caller closes the client.
func (r *Config) Sentinel(addr string) (rueidis.Client, error) {
	return r.single(addr, func(o *rueidis.ClientOption) { o.Username, o.Password = o.Sentinel.Username, o.Sentinel.Password })
}

func (r *Config) single(addr string, edit func(*rueidis.ClientOption)) (rueidis.Client, error) {
	options, err := r.options()
	if err != nil {
		return nil, fmt.Errorf("configure redis: %w", err)
	}
	edit(&options)
	options.InitAddress, options.ForceSingleClient, options.Sentinel = []string{addr}, true, rueidis.SentinelOption{}
	client, err := rueidis.NewClient(options)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return client, nil
}

func (r *Config) options() (rueidis.ClientOption, error) {
	password, err := r.password()
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	tlsConfig, err := r.tls()
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	options := Options(r.Addrs, r.User, password.Reveal())
	options.TLSConfig = tlsConfig
	if r.BySentinel() {
		password, err := r.sentinelPassword()
		if err != nil {
			return rueidis.ClientOption{}, err
		}
		options.InitAddress = r.SentinelAddrs
		options.Sentinel = SentinelOptions(r.SentinelMaster, r.SentinelUser, password.Reveal())
		options.Sentinel.TLSConfig = tlsConfig
		// While the client waits for a server that hangs, it does not move to the one that was promoted.
		options.ConnWriteTimeout = max(hangMax, r.CallTimeout)
	}
	return options, nil
}

func (r *Config) password() (config.Secret, error) {
	return r.Password.FromFile("redis-password-file", r.PasswordFile)
}

func (r *Config) sentinelPassword() (config.Secret, error) {
	return r.SentinelPassword.FromFile("redis-sentinel-password-file", r.SentinelPasswordFile)
}

func (r *Config) tls() (*tls.Config, error) {
	return config.ClientTLS("redis-tls-ca-file", r.TLSCAFile)
}
