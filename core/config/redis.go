package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock/redisstock"
)

// Redis says where the stock lives and how long to wait for it.
type Redis struct {
	Addrs        []string      `name:"redis-addr" env:"SLUICE_REDIS_ADDR" group:"Redis" placeholder:"HOST:PORT" help:"Redis, or any nodes of a Redis Cluster, separated by commas." cost:"none"`
	User         string        `name:"redis-user" env:"SLUICE_REDIS_USER" group:"Redis" placeholder:"NAME" help:"ACL user. Defaults to Redis' own default user." cost:"none"`
	Password     Secret        `kong:"-" env:"SLUICE_REDIS_PASSWORD" help:"Password of the user."`
	PasswordFile string        `name:"redis-password-file" env:"SLUICE_REDIS_PASSWORD_FILE" group:"Redis" placeholder:"PATH" help:"File with the password, instead of SLUICE_REDIS_PASSWORD." cost:"none"`
	TLSCAFile    string        `name:"redis-tls-ca-file" env:"SLUICE_REDIS_TLS_CA_FILE" group:"Redis" placeholder:"PATH" help:"Connect by TLS and trust the authorities of this PEM file, no others." cost:"about 10 us of CPU per call at each end"`
	CallTimeout  time.Duration `name:"redis-call-timeout" env:"SLUICE_REDIS_CALL_TIMEOUT" group:"Redis" default:"300ms" help:"How long to wait for one call. A call that was sent and not answered has an unknown outcome." cost:"higher: requests wait longer behind a server that hangs, and queues fill"`
}

// Validate joins all faults of the group, those of the files that it names included.
func (r *Redis) Validate() error {
	var f Faults
	if len(r.Addrs) == 0 {
		f.Missing("redis-addr", "host:port of Redis, or of nodes of a cluster")
	}
	for _, addr := range r.Addrs {
		hostPort(&f, "redis-addr", addr)
	}
	if !readOnce(r.PasswordFile) {
		_, err := r.password()
		f.Include(err)
	}
	if !readOnce(r.TLSCAFile) {
		_, err := r.tls()
		f.Include(err)
	}
	Between(&f, "redis-call-timeout", r.CallTimeout, time.Millisecond, 10*time.Second)
	return f.Err()
}

// Client connects. The caller closes the client.
func (r *Redis) Client() (rueidis.Client, error) {
	options, err := r.options()
	if err != nil {
		return nil, fmt.Errorf("configure redis: %w", err)
	}
	client, err := rueidis.NewClient(options)
	if err != nil {
		return nil, fmt.Errorf("connect to redis %v: %w", r.Addrs, err)
	}
	return client, nil
}

func (r *Redis) options() (rueidis.ClientOption, error) {
	password, err := r.password()
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	tlsConfig, err := r.tls()
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	options := redisstock.ClientOptions(r.Addrs, r.User, password.Reveal())
	options.TLSConfig = tlsConfig
	return options, nil
}

func (r *Redis) password() (Secret, error) {
	return r.Password.fromFile("redis-password-file", r.PasswordFile)
}

func (r *Redis) tls() (*tls.Config, error) { return clientTLS("redis-tls-ca-file", r.TLSCAFile) }

func hostPort(f *Faults, setting, addr string) {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		f.Add(setting, fmt.Sprintf("%q", addr), "host:port")
	}
}
