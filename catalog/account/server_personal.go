package account

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/web"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

// The kinds of refusals about personal values.
var (
	unknownAddress = problem.NewKind(problem.Kind{Code: "unknown_address", Status: http.StatusNotFound, Title: "There is no such address."})
	consentMissing = problem.NewKind(problem.Kind{Code: "consent_missing", Status: http.StatusConflict, Title: "The user has not consented to this."})

	errNoAddress = &problem.Problem{Kind: unknownAddress}
)

// reply is an answer that was made already: it may be one that was kept.
type reply replay.Answer

func (r reply) write(w http.ResponseWriter) error {
	maps.Copy(w.Header(), r.Header)
	if len(r.Body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(r.Status)
	_, err := w.Write(r.Body)
	return err
}

// VisitShowProfileResponse implements api.ShowProfileResponseObject.
func (r reply) VisitShowProfileResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitChangeProfileResponse implements api.ChangeProfileResponseObject.
func (r reply) VisitChangeProfileResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListAddressesResponse implements api.ListAddressesResponseObject.
func (r reply) VisitListAddressesResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitAddAddressResponse implements api.AddAddressResponseObject.
func (r reply) VisitAddAddressResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitShowAddressResponse implements api.ShowAddressResponseObject.
func (r reply) VisitShowAddressResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitChangeAddressResponse implements api.ChangeAddressResponseObject.
func (r reply) VisitChangeAddressResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitRemoveAddressResponse implements api.RemoveAddressResponseObject.
func (r reply) VisitRemoveAddressResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitListConsentsResponse implements api.ListConsentsResponseObject.
func (r reply) VisitListConsentsResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitNoteConsentResponse implements api.NoteConsentResponseObject.
func (r reply) VisitNoteConsentResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitShowMyDataResponse implements api.ShowMyDataResponseObject.
func (r reply) VisitShowMyDataResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitEraseMeResponse implements api.EraseMeResponseObject.
func (r reply) VisitEraseMeResponse(w http.ResponseWriter) error { return r.write(w) }

// answerOf is an answer in JSON. A version becomes its ETag; -1 is none.
func answerOf(status int, version web.Version, value any) (replay.Answer, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return replay.Answer{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	answer := replay.Answer{Status: status, Header: http.Header{}, Body: text}
	if version != unversioned {
		answer.Header.Set("ETag", version.String())
	}
	return answer, nil
}

// unversioned is the version of what has none.
const unversioned web.Version = -1

// replied makes an answer the one of an operation.
func replied(answer replay.Answer, err error) (reply, error) { return reply(answer), err }

// ShowProfile implements api.StrictServerInterface.
func (s server) ShowProfile(ctx context.Context, _ api.ShowProfileRequestObject) (api.ShowProfileResponseObject, error) {
	profile, version, err := s.Profile(ctx, me(ctx))
	if err != nil {
		return nil, err
	}
	return replied(answerOf(http.StatusOK, version, profile))
}

// ChangeProfile implements api.StrictServerInterface.
func (s server) ChangeProfile(ctx context.Context, r api.ChangeProfileRequestObject) (api.ChangeProfileResponseObject, error) {
	return replied(s.Accounts.ChangeProfile(ctx, me(ctx), asked{"change_profile", r.Params.IdempotencyKey, r}, r.Params.IfMatch,
		ProfileChange{r.Body.DisplayName, r.Body.Birthday, (*string)(r.Body.Gender)}))
}

// listLimit is how many items a page of a list has if nobody says.
const listLimit = 20

// page is a page of a list.
type page[T any] struct {
	Data []T    `json:"data"`
	Next string `json:"next_cursor,omitzero"`
}

// ListAddresses implements api.StrictServerInterface.
func (s server) ListAddresses(ctx context.Context, r api.ListAddressesRequestObject) (api.ListAddressesResponseObject, error) {
	limit := r.Params.Limit.Or(listLimit)
	first := ids.Address(1)
	if r.Params.Cursor != nil {
		var err error
		if first, err = ids.Read[ids.Address](*r.Params.Cursor); err != nil {
			return nil, errCursor
		}
	}
	all, err := s.Addresses(ctx, me(ctx), first, limit+1)
	if err != nil {
		return nil, err
	}
	list := page[KeptAddress]{Data: all}
	if len(all) > limit {
		list.Data, list.Next = all[:limit], all[limit].ID.String()
	}
	return replied(answerOf(http.StatusOK, unversioned, list))
}

var errCursor = web.Malformed("", "the query parameter cursor: want the next_cursor of the page before")

// AddAddress implements api.StrictServerInterface.
func (s server) AddAddress(ctx context.Context, r api.AddAddressRequestObject) (api.AddAddressResponseObject, error) {
	address, isDefault, err := addressIn(r.Body)
	if err != nil {
		return nil, err
	}
	return replied(s.Accounts.AddAddress(ctx, me(ctx), asked{"add_address", r.Params.IdempotencyKey, r}, address, isDefault))
}

// addressIn reads an address. A member that is there is not empty.
func addressIn(a *api.NewPostalAddress) (address Address, isDefault bool, err error) {
	if err := notEmpty("/postcode", a.Postcode); err != nil {
		return Address{}, false, err
	}
	if err := notEmpty("/phone", a.Phone); err != nil {
		return Address{}, false, err
	}
	return Address{
		Recipient: a.Recipient, Country: a.Country, Divisions: given(a.Divisions), Lines: a.Lines, Postcode: given(a.Postcode), Phone: given(a.Phone),
	}, given(a.Default), nil
}

// notEmpty refuses a member that may be absent and is there without a text: it would look as if it were absent.
func notEmpty(pointer string, text *string) error {
	if text != nil && *text == "" {
		return malformed(pointer, errEmpty.Error())
	}
	return nil
}

// given is what a pointer points to, or nothing.
func given[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

// ShowAddress implements api.StrictServerInterface.
func (s server) ShowAddress(ctx context.Context, r api.ShowAddressRequestObject) (api.ShowAddressResponseObject, error) {
	kept, err := s.Address(ctx, me(ctx), r.AddressID)
	if err != nil {
		return nil, err
	}
	return replied(answerOf(http.StatusOK, kept.Version, kept))
}

// ChangeAddress implements api.StrictServerInterface.
func (s server) ChangeAddress(ctx context.Context, r api.ChangeAddressRequestObject) (api.ChangeAddressResponseObject, error) {
	address, isDefault, err := addressIn(r.Body)
	if err != nil {
		return nil, err
	}
	return replied(s.Accounts.ChangeAddress(ctx, me(ctx), asked{"change_address", r.Params.IdempotencyKey, r}, r.AddressID, r.Params.IfMatch, address, isDefault))
}

// RemoveAddress implements api.StrictServerInterface.
func (s server) RemoveAddress(ctx context.Context, r api.RemoveAddressRequestObject) (api.RemoveAddressResponseObject, error) {
	return replied(s.Accounts.RemoveAddress(ctx, me(ctx), asked{"remove_address", r.Params.IdempotencyKey, r}, r.AddressID, r.Params.IfMatch))
}

// consentShown is a consent as the API shows it.
type consentShown struct {
	N       int32     `json:"number"`
	Purpose Purpose   `json:"purpose"`
	Given   bool      `json:"given"`
	Text    string    `json:"text_version"`
	Actor   ids.User  `json:"actor_id"`
	Role    string    `json:"actor_role"`
	At      time.Time `json:"at"`
}

func shownConsent(c Consent) consentShown { return consentShown(c) }

func shownConsents(list []Consent) []consentShown {
	all := make([]consentShown, len(list))
	for i, c := range list {
		all[i] = consentShown(c)
	}
	return all
}

// ListConsents implements api.StrictServerInterface.
func (s server) ListConsents(ctx context.Context, r api.ListConsentsRequestObject) (api.ListConsentsResponseObject, error) {
	limit := r.Params.Limit.Or(listLimit)
	before := int32(latest)
	if r.Params.Cursor != nil {
		n, err := strconv.ParseInt(*r.Params.Cursor, 10, 32)
		if err != nil || n < 1 || strconv.FormatInt(n, 10) != *r.Params.Cursor {
			return nil, errCursor
		}
		before = int32(n)
	}
	all, err := s.Consents(ctx, me(ctx), before, limit+1)
	if err != nil {
		return nil, err
	}
	list := page[consentShown]{Data: shownConsents(all)}
	if len(all) > limit {
		list.Data, list.Next = list.Data[:limit], strconv.Itoa(int(all[limit-1].N))
	}
	return replied(answerOf(http.StatusOK, unversioned, list))
}

// NoteConsent implements api.StrictServerInterface.
func (s server) NoteConsent(ctx context.Context, r api.NoteConsentRequestObject) (api.NoteConsentResponseObject, error) {
	who := web.Who(ctx)
	return replied(s.Accounts.NoteConsent(ctx, me(ctx), asked{"note_consent", r.Params.IdempotencyKey, r}, Consent{
		Purpose: Purpose(r.Body.Purpose), Given: r.Body.Given, Text: r.Body.TextVersion, Actor: ids.User(who.Subject), Role: who.Role.String(),
	}))
}
