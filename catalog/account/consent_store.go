package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/http"

	"sluice/catalog/account/internal/rows"
	"sluice/catalog/internal/replay"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

// Consents lists the history of a user's consents, the newest first, from before a number on.
func (a *Accounts) Consents(ctx context.Context, user ids.User, before int32, limit int) ([]Consent, error) {
	p, err := a.person(ctx, user, selectPerson)
	if err != nil {
		return nil, err
	}
	list, err := rows.New(p.place.In(p.place.Writer())).Consents(ctx, rows.ConsentsParams{UserID: user, Before: before, Limit: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("consents", "consents"+p.place.Suffix, err))
	}
	all := make([]Consent, len(list))
	for i, row := range list {
		all[i] = consentOf(rows.LastConsentRow(row))
	}
	return all, nil
}

func consentOf(row rows.LastConsentRow) Consent {
	return Consent{row.N, Purpose(row.Purpose), row.Given, row.TextVersion, row.ActorID, row.ActorRole, row.At.UTC()}
}

// NoteConsent adds what a user says to the history, unless that is what it says already.
func (a *Accounts) NoteConsent(ctx context.Context, user ids.User, of asked, said Consent) (replay.Answer, error) {
	if refused := said.check(); refused != nil {
		return replay.Answer{}, refused
	}
	return a.once(ctx, user, of, func(w writing) (replay.Answer, error) {
		last, err := w.lastConsent(ctx, said.Purpose)
		if err != nil {
			return replay.Answer{}, err
		}
		if last.N > 0 && last.Given == said.Given && last.Text == said.Text {
			return answerOf(http.StatusOK, unversioned, shownConsent(last))
		}
		n, err := w.CountConsents(ctx, user)
		if err != nil {
			return replay.Answer{}, db.WriteError("count consents", err)
		}
		if n >= consentsMax && (said.Given || !last.Given) {
			return replay.Answer{}, &problem.Problem{Kind: problem.WrongState, Detail: fmt.Sprintf("there are %d entries already", n)}
		}
		err = w.InsertConsent(ctx, rows.InsertConsentParams{
			UserID: user, N: int32(n) + 1, Purpose: string(said.Purpose), Given: said.Given, TextVersion: said.Text,
			ActorID: said.Actor, ActorRole: said.Role,
		})
		if err != nil {
			return replay.Answer{}, db.WriteError("write consent", err)
		}
		if said.Purpose == PurposeProfile && !said.Given {
			if err := w.forgetOptional(ctx); err != nil {
				return replay.Answer{}, err
			}
		}
		if last, err = w.lastConsent(ctx, said.Purpose); err != nil { // as the database's clock has it
			return replay.Answer{}, err
		}
		return answerOf(http.StatusCreated, unversioned, shownConsent(last))
	})
}

// lastConsent is what counts for a purpose: the zero one if the user never said anything.
func (w writing) lastConsent(ctx context.Context, purpose Purpose) (Consent, error) {
	row, err := w.LastConsent(ctx, rows.LastConsentParams{UserID: w.id, Purpose: string(purpose)})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Consent{}, nil
	case err != nil:
		return Consent{}, db.WriteError("read consent", err)
	}
	return consentOf(row), nil
}

// forgetOptional takes out of the profile what was kept by consent.
func (w writing) forgetOptional(ctx context.Context) error {
	profile, _, err := w.profile(ctx)
	if err != nil || !profile.optional() {
		return err
	}
	return w.putProfile(ctx, profile.withoutOptional())
}

// latest is before which number the newest entry is.
const latest = math.MaxInt32
