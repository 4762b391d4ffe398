package config

// ServerError is what went wrong with one of the servers that settings name: Redis, MySQL or Kafka.
type ServerError struct {
	Server string
	Err    error
}

// Error implements error.
func (e *ServerError) Error() string { return e.Err.Error() }

// Unwrap is the error itself.
func (e *ServerError) Unwrap() error { return e.Err }
