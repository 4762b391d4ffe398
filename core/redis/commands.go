package redis

import "errors"

var (
	errCommand = errors.New("the client sends what is no command")
	errRESP2   = errors.New("this server does not speak RESP3, so that messages look like answers; Redis does since version 6")
)

// commands reads what the client sends, and notes what the server owes for it.
type commands struct {
	tokens
	owed *owed

	missing int // arguments of a command that has begun
	inBody  bool
	args    int
	names   [2]string // the first two arguments
	unsub   bool      // the command before was UNSUBSCRIBE: the client sends PING behind it
}

// note adds what the server owes for the commands that end in a chunk.
func (c *commands) note(chunk []byte) error {
	for len(chunk) > 0 {
		token, used, whole, err := c.next(chunk)
		if err != nil {
			return errCommand
		}
		chunk = chunk[used:]
		if !whole {
			return nil
		}
		ended, err := c.take(token)
		if err != nil {
			return err
		}
		if !ended {
			continue
		}
		d, err := c.debt()
		if err != nil {
			return err
		}
		c.owed.add(d)
	}
	return nil
}

// take adds a token to the command. A command has ended with its last argument.
func (c *commands) take(token []byte) (ended bool, err error) {
	if c.inBody {
		if c.inBody = false; c.args < len(c.names) {
			c.names[c.args] = nameOf(token)
		}
		c.args++
		c.missing--
		return c.missing == 0, nil
	}
	if len(token) == 0 {
		return false, errCommand
	}
	n, ok := lengthOf(token[1:])
	switch {
	case ok && c.missing == 0 && token[0] == '*' && n > 0:
		c.missing, c.args, c.names = n, 0, [2]string{}
	case ok && c.missing > 0 && token[0] == '$':
		c.await(n, c.args < len(c.names))
		c.inBody = true
	default:
		return false, errCommand
	}
	return false, nil
}

// nameOf returns a word that debt looks for, or nothing.
func nameOf(word []byte) string {
	switch string(word) {
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "PING",
		"ROLE", "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "HELLO", "2":
		return string(word)
	}
	return ""
}

// debt returns what the server owes for the command that has ended.
func (c *commands) debt() (debt, error) {
	after := c.unsub
	c.unsub = false
	d := debt{kind: answered, count: 1}
	switch c.names[0] {
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		d.kind, d.count = subscribed, c.args-1
	case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		d.kind, c.unsub = unsubscribed, true
	case "PING":
		if after {
			d.count = 0 // it has been counted with UNSUBSCRIBE
		}
	case "ROLE": // the client looks at the first element
		d.least = 1
	case "SENTINEL": // the client looks at the host and the port
		if c.names[1] == "GET-MASTER-ADDR-BY-NAME" {
			d.least = 2
		}
	case "HELLO":
		if c.names[1] == "2" {
			return d, errRESP2
		}
	}
	return d, nil
}
