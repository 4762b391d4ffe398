package account

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"sluice/catalog/account/internal/rows"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
)

// Profile is the profile of a user, and its version: 1 if nothing was ever told.
func (a *Accounts) Profile(ctx context.Context, user ids.User) (profile Profile, version web.Version, err error) {
	var sealed []byte
	p, err := a.person(ctx, user, selectProfile, &version, &sealed)
	if err == nil {
		err = p.open(profileField, sealed, &profile)
	}
	return profile, version, err
}

// ChangeProfile changes members of a profile that has a version.
func (a *Accounts) ChangeProfile(ctx context.Context, user ids.User, of asked, match web.Version, change ProfileChange) (replay.Answer, error) {
	return a.once(ctx, user, of, func(w writing) (replay.Answer, error) {
		old, version, err := w.profile(ctx)
		if err != nil {
			return replay.Answer{}, err
		}
		if version != match {
			return replay.Answer{}, web.ErrChanged
		}
		profile, refused := old.changed(change, time.Now())
		if refused != nil {
			return replay.Answer{}, refused
		}
		if profile.Birthday != old.Birthday || profile.Gender != old.Gender {
			if err := w.mayKeep(ctx, profile); err != nil {
				return replay.Answer{}, err
			}
		}
		if err := w.putProfile(ctx, profile); err != nil {
			return replay.Answer{}, err
		}
		return answerOf(http.StatusOK, version+1, profile)
	})
}

// profile is the profile of a user who is locked.
func (w writing) profile(ctx context.Context) (profile Profile, version web.Version, err error) {
	row, err := w.Profile(ctx, w.id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return profile, 1, nil
	case err != nil:
		return profile, 0, db.WriteError("read profile", err)
	}
	err = w.open(profileField, row.Sealed, &profile)
	return profile, web.Version(row.Version), err
}

func (w writing) putProfile(ctx context.Context, profile Profile) error {
	sealed, err := w.seal(profileField, profile)
	if err != nil {
		return err
	}
	if err := w.PutProfile(ctx, rows.PutProfileParams{UserID: w.id, Sealed: sealed}); err != nil {
		return db.WriteError("write profile", err)
	}
	return nil
}

// mayKeep refuses optional members without a consent.
func (w writing) mayKeep(ctx context.Context, profile Profile) error {
	if !profile.optional() {
		return nil
	}
	last, err := w.lastConsent(ctx, PurposeProfile)
	if err == nil && !last.Given {
		err = &problem.Problem{Kind: consentMissing, Detail: "birthday and gender need a consent for optional_profile"}
	}
	return err
}
