package redisstock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// notExecuted has the first words of Redis' answers to calls that it did not execute. Such a call may succeed later, or
// at another server.
var notExecuted = [...]string{
	"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY",
	"MISCONF", "NOREPLICAS", "BUSY", "NOAUTH", "NOPERM", "WRONGPASS",
}

// kindOf returns the error of package stock that an error of the client or of Redis is.
func kindOf(err error) error {
	var redisErr *rueidis.RedisError
	var opErr *net.OpError
	switch {
	case errors.As(err, &redisErr):
		return kindOfAnswer(redisErr.Error())
	case errors.As(err, &opErr) && opErr.Op == "dial":
		return stock.ErrUnreached
	case errors.Is(err, rueidis.ErrNoSlot):
		return stock.ErrNotApplied // the client knows no server to send it to
	}
	// Anything else may have happened after the call was sent: a timeout, a reset, a cut-off answer.
	return stock.ErrUnknown
}

func kindOfAnswer(answer string) error {
	// An error from within a script names the script. It may come after a write.
	if strings.Contains(answer, "@user_script") {
		return stock.ErrProtocol
	}
	word, _, _ := strings.Cut(answer, " ")
	if word == "NOSCRIPT" || word == "SHUT" {
		return stock.ErrShut
	}
	if word == "OOM" {
		return stock.ErrFull
	}
	for _, known := range notExecuted {
		if word == known {
			return stock.ErrNotApplied
		}
	}
	if answer == "max number of clients reached" { // the client has cut off Redis' ERR
		return stock.ErrNotApplied
	}
	return stock.ErrProtocol
}

// wrap makes an error of package stock from an error of the client or of Redis. Programs look at its kind only; the words
// about the cause are for people.
func wrap(what string, err error) error {
	kind := kindOf(err)
	if errors.Is(kind, stock.ErrShut) {
		return fmt.Errorf("%s: %w", what, kind) // without the words of Redis: they advise EVAL, which would skip the vetting
	}
	return fmt.Errorf("%s: %w: %w", what, kind, err)
}

// errNoNode means that the client knows no node of a cluster.
var errNoNode = errors.New("no node of the cluster is known")

// notSent returns the error of a call that was given up before it was sent.
func notSent(ctx context.Context, what string) error {
	return fmt.Errorf("%s: %w: %w", what, stock.ErrNotApplied, context.Cause(ctx))
}

// elementsError is the error of an answer with a wrong number of elements.
type elementsError int

func (e elementsError) Error() string { return fmt.Sprintf("it has %d elements", int(e)) }

// wrapProtocol wraps the error of an answer that the store cannot read.
func wrapProtocol(what string, err error) error {
	return fmt.Errorf("read answer of %s: %w: %w", what, stock.ErrProtocol, err)
}
