package conns

import "time"

// Timeouts bound how slowly a client may be served.
type Timeouts struct {
	Read  time.Duration // of a whole request, and of the wait for a connection's first
	Write time.Duration // of an answer
	Idle  time.Duration // between two requests of a connection
}

// slack is by how much a deadline may come early. Moving a deadline costs a lock and a timer, so conn moves it once in that
// time and not for every request.
const slack = time.Second

// deadlines has the deadlines of a connection, as times since its listener began.
type deadlines struct {
	answered bool // a request of the connection was answered
	reading  bool // a request has begun to come in and is not complete: its deadline stays
	read     time.Duration
	write    time.Duration
}

// armRead makes sure that the next read ends in time.
func (c *conn) armRead() {
	limit := c.listener.cfg.Timeouts.Read
	switch {
	case c.reading:
		return
	case c.state.Load() == busy:
		c.reading = true
	case c.answered:
		limit = c.listener.cfg.Timeouts.Idle
	}
	now := time.Since(c.listener.start)
	if late := now + limit - c.read; c.reading || late < 0 || late >= min(slack, limit/2) {
		c.read = now + limit
		_ = c.TCPConn.SetReadDeadline(c.listener.start.Add(c.read)) // fails on a closed connection only, as the read will
	}
}

// SetReadDeadline implements net.Conn. fasthttp calls it for a request whose body may take longer. From then on it is that
// request's deadline.
func (c *conn) SetReadDeadline(deadline time.Time) error {
	c.reading, c.read = true, deadline.Sub(c.listener.start)
	return c.TCPConn.SetReadDeadline(deadline)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	limit := c.listener.cfg.Timeouts.Write
	now := time.Since(c.listener.start)
	if now+limit-c.write >= min(slack, limit/2) {
		c.write = now + limit
		_ = c.SetWriteDeadline(c.listener.start.Add(c.write)) // as above
	}
	return c.TCPConn.Write(b)
}
