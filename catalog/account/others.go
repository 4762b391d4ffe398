package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/catalog/account/internal/rows"
	"sluice/catalog/assess"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

const hasEmail = "SELECT COUNT(*) FROM identities__ AS i JOIN users__ AS u ON u.user_id = i.user_id " +
	"WHERE i.user_id = ? AND i.kind = 'email' AND i.value_index = ? AND u.state = 'active'"

// HasEmail reports whether an active user signs in with an address, which the user has shown to have.
func (a *Accounts) HasEmail(ctx context.Context, user ids.User, address Email) (has bool, err error) {
	p, index := a.at(user), a.index(address)
	if err := p.In(p.Writer()).QueryRowContext(ctx, hasEmail, user, index[:]).Scan(&has); err != nil {
		return false, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("identities", "identities"+p.Suffix, err))
	}
	return has, nil
}

// Facts tells what is known of a user when another package assesses what that user wants. Of who is no user nothing is known. Who is
// locked or erased may want nothing: a token may outlive that.
func (a *Accounts) Facts(ctx context.Context, id ids.User) (f assess.Facts, err error) {
	user, err := a.User(ctx, id, db.Never)
	switch {
	case errors.Is(err, errUnknown):
		return f, nil
	case err != nil:
		return f, err
	}
	if err := may(user.State); err != nil {
		return f, err
	}
	f.Word(assess.Region, user.Region)
	f.Word(assess.Locale, user.Locale)
	f.Number(assess.AccountAge, max(int64(a.now().Sub(user.CreatedAt)/time.Hour), 0))
	all, err := a.Identities(ctx, id)
	if at := slices.IndexFunc(all, func(i Identity) bool { return i.Kind == KindEmail }); err == nil && at >= 0 {
		f.Word(assess.MailDomain, Email(all[at].Value).Domain())
	}
	return f, err
}

// Notice is what another package of the shop tells a user.
type Notice struct {
	Event    string // the same one is told once
	Template string
	Values   map[string]string
}

// Tell tells a user something by e-mail. Who has no address is not told, who is erased neither, and nobody is
// if the shop sends no e-mail.
func (a *Accounts) Tell(ctx context.Context, user ids.User, n Notice) error {
	p := a.at(user)
	_, err := p.Write(ctx, "notice", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, user) // so that an erasure comes before, or finds the message
		if err != nil || held.state == "" || held.state == StateErased {
			return err
		}
		all, err := a.identities(ctx, in, user)
		at := slices.IndexFunc(all, func(i Identity) bool { return i.Kind == KindEmail })
		if err != nil || at < 0 {
			return err
		}
		row, err := rows.New(in).User(ctx, user)
		if err != nil {
			return db.WriteError("read user", err)
		}
		return a.messenger.Add(ctx, tx, p, Message{
			Event: n.Event, User: user, Template: n.Template, Locale: row.Locale, By: KindEmail, To: all[at].Value, Values: n.Values,
		})
	})
	if errors.As(err, new(*problem.Problem)) { // the shop sends no e-mail
		return nil
	}
	return err
}
