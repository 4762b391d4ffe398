package db

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	packetHead = 4         // length and number of a packet
	packetFull = 1<<24 - 1 // a packet of this length goes on in the next one
	// answerMax bounds a packet with those that it goes on in, in bytes.
	answerMax = 64 << 20
	// columnsMax is how many columns a table of MySQL may have. MariaDB has a lower bound.
	columnsMax = 4096
	// beginMax is how much of an answer is looked at: the longest is a greeting with the server's version.
	beginMax = 256
	// scrambleMin are the bytes that the driver takes of what a server sends for a password to be encrypted with.
	scrambleMin = 20
	// afterVersion are the bytes of a greeting after the server's version.
	afterVersion = 4 + 8 + 1 + 2 + 3 + 2 + 7 + 4 + 13

	clientTLS   = 1 << 11 // of what a client can do
	moreResults = 1 << 3  // of a server's status
	tlsRequest  = packetHead + 32
)

// The first bytes of commands and answers.
const (
	commandQuery   = 0x03
	commandPrepare = 0x16
	commandExecute = 0x17

	answerOK     = 0x00
	answerInFile = 0xfb
	answerSwitch = 0xfe
	answerError  = 0xff
)

var (
	errAnswer   = errors.New("an answer is too short")
	errGreeting = errors.New("it does not greet as MySQL does")
	errLarge    = fmt.Errorf("an answer is longer than %d MiB", answerMax>>20)
	errResults  = errors.New("a statement has several results")
	errColumns  = fmt.Errorf("a result has more than %d columns", columnsMax)
)

// packets looks at the first packet of each answer of a server, and at the length of every packet. The driver indexes what it reads
// without asking how long it is, and takes as much memory as a number of columns says. Once a connection uses TLS, packets sees
// nothing, but then the server has shown who it is.
type packets struct {
	command byte // that the client has sent last; 0 before the first one
	replied bool // the client has replied to the greeting
	rest    bool // the first packet of the answer has come
	hidden  bool // by TLS

	head  []byte // of the packet that comes, as far as it has come
	left  int    // bytes of it that come after the head
	goes  bool   // it goes on in the next one
	size  int    // of the packet, with those that it continues
	begin []byte // its first bytes
}

// sent notes a packet of the client.
func (p *packets) sent(packet []byte) {
	if len(packet) <= packetHead {
		return
	}
	p.rest = false
	if packet[packetHead-1] == 0 {
		p.command = packet[packetHead]
	} else if !p.replied {
		p.hidden = len(packet) == tlsRequest && binary.LittleEndian.Uint32(packet[packetHead:])&clientTLS != 0
	}
	p.replied = true
}

// check says why the driver must not read a chunk, or nil.
func (p *packets) check(chunk []byte) error {
	for len(chunk) > 0 && !p.hidden {
		if len(p.head) < packetHead {
			n := min(packetHead-len(p.head), len(chunk))
			p.head = append(p.head, chunk[:n]...)
			if chunk = chunk[n:]; len(p.head) < packetHead {
				return nil
			}
			p.left = int(p.head[0]) | int(p.head[1])<<8 | int(p.head[2])<<16
			p.goes = p.left == packetFull
			if p.size += p.left; p.size > answerMax {
				return errLarge
			}
		}
		n := min(p.left, len(chunk))
		if room := beginMax - len(p.begin); room > 0 && !p.rest {
			p.begin = append(p.begin, chunk[:min(n, room)]...)
		}
		chunk, p.left = chunk[n:], p.left-n
		if p.left > 0 {
			return nil
		}
		if err := p.ended(); err != nil {
			return err
		}
	}
	return nil
}

// ended looks at a packet that is complete, unless it goes on.
func (p *packets) ended() error {
	p.head = p.head[:0]
	if p.goes {
		return nil
	}
	var err error
	if !p.rest && p.size > 0 { // the driver refuses an empty one
		err = p.look()
	}
	p.rest, p.size, p.begin = true, 0, p.begin[:0]
	return err
}

// look looks at the first packet of an answer.
func (p *packets) look() error {
	queried := p.command == commandQuery || p.command == commandExecute
	switch first := p.begin[0]; {
	case first == answerError:
		return p.failure()
	case !p.replied:
		return p.greeting()
	case first == answerOK && p.command == commandPrepare:
		if p.size < 1+4+2+2 {
			return errAnswer
		}
	case first == answerOK:
		return p.ok(queried)
	case first == answerSwitch && p.command == 0:
		return p.change()
	case queried && first != answerInFile:
		if columns, _, ok := lengthEncoded(p.begin); !ok || columns > columnsMax {
			return errColumns
		}
	}
	return nil
}

// failure looks at an error: a number, perhaps an SQL state, and a text.
func (p *packets) failure() error {
	switch {
	case p.size < 3:
		return errAnswer
	case p.size == 3, p.begin[3] == '#' && p.size < 9:
		return fmt.Errorf("%w: error %d has no text", errAnswer, binary.LittleEndian.Uint16(p.begin[1:]))
	}
	return nil
}

func (p *packets) greeting() error {
	if end := bytes.IndexByte(p.begin, 0); end < 1 || p.size < end+1+afterVersion {
		return errGreeting
	}
	return nil
}

// ok looks at the numbers of changed rows and of an id, and at the server's status.
func (p *packets) ok(queried bool) error {
	_, rest, ok := lengthEncoded(p.begin[1:])
	if ok {
		_, rest, ok = lengthEncoded(rest)
	}
	switch {
	case !ok || len(rest) < 2:
		return errAnswer
	case queried && rest[0]&moreResults != 0:
		return errResults
	}
	return nil
}

// change looks at the name of another way to log in, and at what the password is encrypted with.
func (p *packets) change() error {
	name, scramble, ok := strings.Cut(string(p.begin[1:]), "\x00")
	if ok && len(scramble) < scrambleMin && (name == "mysql_native_password" || name == "sha256_password") {
		return errAnswer
	}
	return nil
}

// lengthEncoded reads a number whose first byte says how long it is, and returns what follows.
func lengthEncoded(from []byte) (n uint64, rest []byte, ok bool) {
	if len(from) == 0 {
		return 0, nil, false
	}
	var size int
	switch from[0] {
	case 0xfc:
		size = 2
	case 0xfd:
		size = 3
	case 0xfe:
		size = 8
	default:
		return uint64(from[0]), from[1:], true
	}
	if len(from) <= size {
		return 0, nil, false
	}
	for i := size; i > 0; i-- {
		n = n<<8 | uint64(from[i])
	}
	return n, from[1+size:], true
}
