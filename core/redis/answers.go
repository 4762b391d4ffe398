package redis

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/redis/rueidis"
)

const (
	// answerMax bounds the memory that one answer takes, in bytes: the client takes it as soon as it has read a length.
	answerMax = 64 << 20
	// depthMax bounds how deep arrays lie in each other: the client takes a stack frame for each.
	depthMax = 16
	// elementBytes is the memory of an element besides its text.
	elementBytes = int(unsafe.Sizeof(rueidis.RedisMessage{}))
	// pushWords bounds the elements of a message that are looked at: its kind, a channel and a text.
	pushWords = 3
)

var (
	errLength   = errors.New("a length is wrong")
	errValue    = errors.New("a null or a boolean is wrong")
	errTooLarge = fmt.Errorf("an answer takes more than %d MiB", answerMax>>20)
	errTooDeep  = fmt.Errorf("arrays lie more than %d deep in each other", depthMax)
	errPush     = errors.New("a message lies within an answer")
	errWords    = errors.New("a redirection or a message has too few words")
)

// answers checks what the server sends.
type answers struct {
	tokens
	owed *owed

	open   []int    // how many elements are missing in each array that has begun, the outermost first
	size   int      // of the answer, in bytes of memory
	inBody bool     // of a bulk string
	push   bool     // the answer is a message that no command asks for
	words  []string // of such a message
}

// check says why the client must not read a chunk, or nil.
func (a *answers) check(chunk []byte) error {
	for len(chunk) > 0 {
		token, used, whole, err := a.next(chunk)
		if err == nil && whole {
			err = a.take(token)
		}
		if err != nil {
			return err
		}
		chunk = chunk[used:]
	}
	return nil
}

// take looks at the next line or body.
func (a *answers) take(token []byte) error {
	if a.inBody {
		a.inBody = false
		a.word(token)
		return a.ended()
	}
	if len(token) == 0 {
		return errLength
	}
	kind, text := token[0], token[1:]
	n, isLength := lengthOf(text)
	switch kind {
	case '+', ':', ',', '(':
	case '_', '#': // the client reads so many bytes, whatever the line is
		if said := string(token); said != "_" && said != "#t" && said != "#f" {
			return errValue
		}
	case '-':
		if !redirects(text) {
			return errWords
		}
	case '$', '=', '*', '~', '>', '%':
		if isNull := string(text) == "-1" && (kind == '$' || kind == '*'); !isLength && !isNull {
			return errLength
		}
	default:
		return fmt.Errorf("an answer begins with %q", token)
	}
	if err := a.begin(token, n); err != nil {
		return err
	}
	switch {
	case isLength && (kind == '$' || kind == '='):
		return a.body(n)
	case isLength && kind == '%':
		return a.array(2 * n)
	case isLength && (kind == '*' || kind == '~' || kind == '>'):
		return a.array(n)
	}
	a.word(text)
	if err := a.grow(len(text), 1); err != nil {
		return err
	}
	return a.ended()
}

// begin looks at the first line of an answer, or of an element of one.
func (a *answers) begin(line []byte, elements int) error {
	switch {
	case len(a.open) > 0 && line[0] == '>':
		return errPush
	case len(a.open) > 0:
		return nil
	case line[0] == '>':
		a.push = true
		return nil
	}
	return a.owed.settle(line, elements)
}

func (a *answers) body(length int) error {
	a.inBody = true
	a.await(length, a.push)
	return a.grow(length, 1)
}

func (a *answers) array(elements int) error {
	if elements == 0 {
		a.word(nil)
		return a.ended()
	}
	if a.open = append(a.open, elements); len(a.open) > depthMax {
		return errTooDeep
	}
	return a.grow(elements, elementBytes)
}

func (a *answers) grow(n, bytes int) error {
	if n > answerMax || a.size+n*bytes > answerMax {
		return errTooLarge
	}
	a.size += n * bytes
	return nil
}

// word keeps the first elements of a message.
func (a *answers) word(text []byte) {
	if a.push && len(a.open) == 1 && len(a.words) < pushWords {
		a.words = append(a.words, string(text))
	}
}

// ended counts an element that is complete, and with it the arrays whose last it is.
func (a *answers) ended() error {
	for len(a.open) > 0 {
		last := len(a.open) - 1
		if a.open[last]--; a.open[last] > 0 {
			return nil
		}
		a.open = a.open[:last]
		a.word(nil)
	}
	var err error
	if a.push {
		err = a.message()
	}
	a.size, a.push, a.words = 0, false, a.words[:0]
	return err
}

// eventWords is how many words of a Sentinel's event the client looks at, by its channel.
var eventWords = map[string]int{"+sentinel": 4, "+reboot": 4, "+switch-master": 5}

// message looks at a message that is complete.
func (a *answers) message() error {
	if len(a.words) < 2 { // the client does not look at it
		return nil
	}
	switch a.words[0] {
	case "subscribe", "psubscribe", "ssubscribe":
		return a.owed.confirm()
	case "unsubscribe", "punsubscribe", "sunsubscribe":
		return a.owed.leave()
	case "message":
		if len(a.words) == pushWords && strings.Count(a.words[2], " ")+1 < eventWords[a.words[1]] {
			return errWords
		}
	}
	return nil
}

// redirects tells whether the client finds the address in an error, if it is one that redirects. It reads the error without ERR.
func redirects(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte("ERR "))
	for _, r := range [...]struct {
		word  string
		words int
	}{{"MOVED", 3}, {"ASK", 3}, {"REDIRECT", 2}} {
		if bytes.HasPrefix(text, []byte(r.word)) {
			return bytes.Count(text, []byte(" "))+1 >= r.words
		}
	}
	return true
}
