package config

import (
	"context"
	"errors"
	"net"
	"os"
)

// ServerError is an error of one server that the settings name: Redis, MySQL or Kafka.
type ServerError struct {
	Server string
	Err    error
}

// Error implements error.
func (e *ServerError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e *ServerError) Unwrap() error { return e.Err }

// Silent reports whether an error means that a server gave no answer in time. The program has reached the server, or
// may have. A server that refuses connections, or whose name nobody knows, is not silent.
func Silent(err error) bool {
	var name *net.DNSError
	return !errors.As(err, &name) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded))
}
