package account

import (
	"context"
	"time"

	"sluice/catalog/internal/replay"
	"sluice/core/ids"
)

// Stop calls back before some steps.
func (a *Accounts) Stop(before func(step string)) { a.step = before }

// Hashes is how many hashes of passwords were made.
func (a *Accounts) Hashes() int64 { return a.hasher.Made() }

// BoundExchanges has a provider's answer kept within a time.
func (a *Accounts) BoundExchanges(within time.Duration) { a.exchangeMax = within }

// SelectPending finds the claims that a sweep settles.
const SelectPending = selectPending

// SweepFactors deletes second factors that were begun and not finished.
const SweepFactors = sweepFactors

// TestAddress adds an address.
func (a *Accounts) TestAddress(ctx context.Context, user ids.User, key string) (replay.Answer, error) {
	return a.AddAddress(ctx, user, asked{"add_address", key, key}, Address{Recipient: "Ann", Country: "DE", Lines: []string{"x"}}, false)
}
