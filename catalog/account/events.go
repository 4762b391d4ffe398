package account

import "sluice/core/ids"

// The types of events.
const (
	eventMade     = "user_made"
	eventPassword = "password_changed"
	eventEnded    = "sessions_ended"
)

type (
	// ended names sessions that have ended.
	ended struct {
		Sessions []ids.Session `json:"session_ids"`
	}
	// nothing is what events have whose type says all.
	nothing struct{}
)
