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

	"sluice/catalog/internal/vault"
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
	listSignIns   = "SELECT s.id, s.made_at, s.outcome, s.proved_by, s.session_id, s.origin, k.key_id, k.wrapped FROM sign_ins__ s " +
		"LEFT JOIN account_keys__ k ON k.subject_id = s.user_id WHERE s.user_id = ? ORDER BY s.made_at DESC, s.id LIMIT ?"
	sweepSignIns = "DELETE FROM sign_ins__ WHERE made_at <= NOW(3) - INTERVAL 90 DAY LIMIT ?"
)

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

// origin is the network and the name of the device, sealed for a row of the history.
type origin struct {
	id     int64
	sealed []byte
}

// origin seals from where a user signs in. A network has no line break.
func (c credential) origin(by Caller) (o origin, err error) {
	drawn := newSeed()
	o.id = int64(binary.BigEndian.Uint64(drawn[:]) >> 1)
	o.sealed, err = c.box.Seal(signInField(o.id), []byte(by.network()+"\n"+by.DeviceName))
	return o, err
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
	var origins []origin
	var key vault.Key
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var s SignInMade
		var session int64
		var of origin
		err := row.Scan(&of.id, &s.At, &s.Outcome, &s.By, &session, &of.sealed, &key.By, &key.Wrapped)
		s.Session = ids.Session(session)
		all, origins = append(all, s), append(origins, of)
		return err
	}, listSignIns, user, signInsMax)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("sign-ins", "sign_ins"+p.Suffix, err))
	}
	if len(all) == 0 {
		return nil, nil
	}
	box, err := a.personal.Adopt(int64(user), key)
	if err != nil {
		return nil, erased(err)
	}
	for i, of := range origins {
		plain, err := box.Open(signInField(of.id), of.sealed)
		if err != nil {
			return nil, err
		}
		all[i].Network, all[i].Device, _ = strings.Cut(string(plain), "\n")
	}
	return all, nil
}

// note adds a sign-in to the history of a user, and keeps that bounded.
func (a *Accounts) note(ctx context.Context, in place.Conn, user ids.User, outcome, by string, session ids.Session, from origin) error {
	if _, err := in.ExecContext(ctx, insertSignIn, user, from.id, outcome, by, int64(session), from.sealed); err != nil {
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
	email, err := of.email()
	if err != nil {
		return err
	}
	err = a.messenger.Add(ctx, tx, p, Message{
		Event: "sign-in-" + session.String(), User: of.user, Template: templateNewDevice, Locale: of.locale, By: KindEmail, To: string(email),
		Values: map[string]string{"at": a.now().UTC().Format(time.RFC3339), "device": strings.TrimSpace(by.DeviceName + " (" + by.network() + ")")},
	})
	var refusal *problem.Problem
	if errors.As(err, &refusal) {
		return nil
	}
	return err
}

// noteRefusal adds a code that was refused to the history. The refusal counts, whether or not that succeeds.
func (a *Accounts) noteRefusal(ctx context.Context, user ids.User, from origin) {
	p := a.at(user)
	_, err := p.Write(ctx, "sign-in", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, user)
		if err != nil || held.state == StateErased {
			return err
		}
		return a.note(ctx, in, user, outcomeRefused, "", 0, from)
	})
	if err != nil {
		a.log.DebugContext(ctx, "a refused code is not in the history", "error", err)
	}
}
