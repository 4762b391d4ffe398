package account

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

// The history of sign-ins is of who knows the password. A wrong password is not in it: to write a row for an address that has an
// account, and none for another one, would tell the two apart by their time.
const (
	// signInsMax bounds the history of a user.
	signInsMax = 100
	// settledAfter is how old a user is of whose new devices the user is told: at first each is new.
	settledAfter = time.Hour

	outcomeDone    = "signed_in"
	outcomeRefused = "code_refused"

	insertSignIn  = "INSERT INTO sign_ins__ (user_id, id, made_at, outcome, proved_by, session_id, origin) VALUES (?, ?, NOW(3), ?, ?, ?, ?)"
	boundSignIns  = "SELECT made_at FROM sign_ins__ WHERE user_id = ? ORDER BY made_at DESC LIMIT 1 OFFSET ?"
	deleteSignIns = "DELETE FROM sign_ins__ WHERE user_id = ? AND made_at <= ?"
	listSignIns   = "SELECT made_at, outcome, proved_by, session_id, origin FROM sign_ins__ WHERE user_id = ? ORDER BY made_at DESC, id LIMIT ?"
	sweepSignIns  = "DELETE FROM sign_ins__ WHERE made_at <= NOW(3) - INTERVAL 90 DAY LIMIT ?"
)

// kindOrigin is what a vault seals the origin of a sign-in as.
const kindOrigin Kind = "origin"

// deviceNameMax is in characters.
const deviceNameMax = 100

var errDeviceName = malformed("/device_name", fmt.Sprintf("want 1 to %d characters in one line", deviceNameMax))

// checkDevice refuses what is no token and no name of a device.
func (c Caller) checkDevice() error {
	if len(c.Device) > deviceBytesMax {
		return errDevice
	}
	name := c.DeviceName
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > deviceNameMax || strings.ContainsFunc(name, unicode.IsControl) {
		return errDeviceName
	}
	return nil
}

// network is from where a caller asks, as far as anybody needs to know to tell it from others.
func (c Caller) network() string {
	bits := 64
	if c.Address.Is4() {
		bits = 24
	}
	if !c.Address.IsValid() {
		return ""
	}
	return netip.PrefixFrom(c.Address, bits).Masked().String()
}

// origin is the network and the name of the device, sealed. A network has no line break.
func (a *Accounts) origin(ctx context.Context, user ids.User, by Caller) ([]byte, error) {
	return a.vault.Seal(ctx, user, kindOrigin, by.network()+"\n"+by.DeviceName)
}

// SignInMade is a sign-in as its user sees it.
type SignInMade struct {
	At              time.Time
	Network, Device string // the latter may be empty
	Outcome         string
	By              string      // what has proved who it is; empty: nothing
	Session         ids.Session // 0: none has begun
}

// SignIns lists the last sign-ins of a user, the newest first.
func (a *Accounts) SignIns(ctx context.Context, user ids.User) (all []SignInMade, err error) {
	p := a.at(user)
	var sealed [][]byte
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var s SignInMade
		var session int64
		var origin []byte
		err := row.Scan(&s.At, &s.Outcome, &s.By, &session, &origin)
		s.Session = ids.Session(session)
		all, sealed = append(all, s), append(sealed, origin)
		return err
	}, listSignIns, user, signInsMax)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("sign-ins", "sign_ins"+p.Suffix, err))
	}
	for i, of := range sealed {
		origin, err := a.vault.Open(ctx, user, kindOrigin, of)
		if err != nil {
			return nil, err
		}
		all[i].Network, all[i].Device, _ = strings.Cut(origin, "\n")
	}
	return all, nil
}

// note adds a sign-in to the history of a user, and keeps that bounded.
func (a *Accounts) note(ctx context.Context, in place.Conn, user ids.User, outcome, by string, session ids.Session, origin []byte) error {
	drawn := newSeed()
	id := int64(binary.BigEndian.Uint64(drawn[:]) >> 1)
	if _, err := in.ExecContext(ctx, insertSignIn, user, id, outcome, by, int64(session), origin); err != nil {
		return db.WriteError("write sign-in", err)
	}
	var last time.Time
	err := in.QueryRowContext(ctx, boundSignIns, user, signInsMax).Scan(&last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err == nil:
		_, err = in.ExecContext(ctx, deleteSignIns, user, last)
	}
	return writeError("bound sign-ins", err)
}

// tellOfDevice tells a user of a sign-in from a device that the account does not know. It keeps back nobody: a shop that sends no
// messages lets people in.
func (a *Accounts) tellOfDevice(ctx context.Context, tx *sql.Tx, p place.Place, of credential, by Caller, session ids.Session) error {
	email, err := a.vault.Open(ctx, of.user, KindEmail, of.email)
	if err != nil {
		return err
	}
	err = a.messenger.Add(ctx, tx, p, Message{
		Event: "sign-in-" + session.String(), User: of.user, Template: templateNewDevice, Locale: of.locale, By: KindEmail, To: email,
		Values: map[string]string{"at": a.now().UTC().Format(time.RFC3339), "device": strings.TrimSpace(by.DeviceName + " (" + by.network() + ")")},
	})
	var refusal *problem.Problem
	if errors.As(err, &refusal) {
		return nil
	}
	return err
}

// noteRefusal adds a code that was refused to the history. The refusal counts, whether or not that succeeds.
func (a *Accounts) noteRefusal(ctx context.Context, by Caller, user ids.User) {
	p := a.at(user)
	origin, err := a.origin(ctx, user, by)
	if err == nil {
		_, err = p.Write(ctx, "sign-in", func(tx *sql.Tx) error {
			in := p.In(tx)
			held, err := lock(ctx, in, user)
			if err != nil || held.state == StateErased {
				return err
			}
			return a.note(ctx, in, user, outcomeRefused, "", 0, origin)
		})
	}
	if err != nil {
		a.log.DebugContext(ctx, "a refused code is not in the history", "error", err)
	}
}
