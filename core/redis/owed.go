package redis

import (
	"errors"
	"sync"
)

// A debt is what the server owes for commands: answers.
type debt struct {
	kind  debtKind
	count int  // of answers, or of channels
	least int  // elements that an answer has at least, if it is an array or a set
	begun bool // some of its channels are subscribed, and others are not
}

type debtKind int8

const (
	answered     debtKind = iota // by one answer each
	subscribed                   // by a message for each channel, or by an error
	unsubscribed                 // by an answer to the PING that the client sends with it
)

var (
	errUnasked   = errors.New("it sends an answer that no command asked for")
	errUnsub     = errors.New("it refuses a PING behind UNSUBSCRIBE, which the client takes for an answer to another command")
	errNotChosen = errors.New("it answers SUBSCRIBE with neither its channels nor an error")
	errElements  = errors.New("an answer has too few elements")
)

// owed are the debts of the server in the order of the commands.
type owed struct {
	lock  sync.Mutex
	debts []debt // adjacent answers without a least count are one
}

func (o *owed) add(d debt) {
	if d.count == 0 {
		return
	}
	o.lock.Lock()
	defer o.lock.Unlock()
	if last := len(o.debts) - 1; last >= 0 && d.kind == answered && d.least == 0 && o.debts[last].kind == answered && o.debts[last].least == 0 {
		o.debts[last].count += d.count
		return
	}
	o.debts = append(o.debts, d)
}

// settle takes an answer by its first line. An array has some elements.
func (o *owed) settle(line []byte, elements int) error {
	o.lock.Lock()
	defer o.lock.Unlock()
	if len(o.debts) == 0 {
		return errUnasked
	}
	first := &o.debts[0]
	switch first.kind {
	case unsubscribed:
		if string(line) != "+PONG" {
			return errUnsub
		}
	case subscribed:
		if line[0] != '-' || first.begun || string(line) == "-QUEUED" {
			return errNotChosen
		}
		first.count = 1
	case answered:
		if (line[0] == '*' || line[0] == '~') && elements < first.least {
			return errElements
		}
	}
	o.pay()
	return nil
}

// confirm takes the message that a channel is subscribed.
func (o *owed) confirm() error {
	o.lock.Lock()
	defer o.lock.Unlock()
	if len(o.debts) == 0 || o.debts[0].kind != subscribed {
		return errUnasked
	}
	o.debts[0].begun = true
	o.pay()
	return nil
}

// leave takes the message that a channel is no longer subscribed. Between channels of a SUBSCRIBE, the client counts it as one.
func (o *owed) leave() error {
	o.lock.Lock()
	defer o.lock.Unlock()
	if len(o.debts) > 0 && o.debts[0].begun {
		return errNotChosen
	}
	return nil
}

func (o *owed) pay() {
	if o.debts[0].count--; o.debts[0].count == 0 {
		o.debts = append(o.debts[:0], o.debts[1:]...)
	}
}
