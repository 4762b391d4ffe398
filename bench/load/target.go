package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"sluice/bench/report"
)

// Target is the server that a crowd visits.
type Target struct {
	addr string // host:port
	host string // for the Host header
	tls  *tls.Config

	dialer net.Dialer
}

// NewTarget reads the URL of a server. A host other than this machine must be named a second time as one that may be
// loaded, so that nobody hits a wrong server by a slip.
func NewTarget(address, mayLoad string) (Target, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return Target{}, fmt.Errorf("%q: want a URL such as http://127.0.0.1:8080", address)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return Target{}, fmt.Errorf("%q: want a URL without path, query and user", address)
	}
	if !report.Loopback(address) && mayLoad != u.Hostname() {
		if mayLoad != "" {
			return Target{}, fmt.Errorf("%s is not %s, which you may load", u.Hostname(), mayLoad)
		}
		return Target{}, fmt.Errorf("%s is not this machine: if it is yours to load, repeat with --i-may-load %s", u.Hostname(), u.Hostname())
	}
	t := Target{host: u.Host, addr: u.Host}
	port := "80"
	if u.Scheme == "https" {
		t.tls, port = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}, "443"
	}
	if u.Port() == "" {
		t.addr = net.JoinHostPort(u.Hostname(), port)
	}
	return t, nil
}

func (t *Target) dial(timeout time.Duration) (*Conn, error) {
	if t.addr == "" {
		return nil, errors.New("no target")
	}
	dialer := t.dialer
	dialer.Timeout = timeout
	var c net.Conn
	var err error
	if t.tls != nil {
		c, err = tls.DialWithDialer(&dialer, "tcp", t.addr, t.tls)
	} else {
		c, err = dialer.Dial("tcp", t.addr)
	}
	if err != nil {
		return nil, err
	}
	return &Conn{net: c, read: newReader(c), timeout: timeout}, nil
}
