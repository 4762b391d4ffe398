package account

import "sluice/core/sessions"

// The types of events.
const (
	eventMade     = "user_made"
	eventPassword = "password_changed"
	eventEnded    = sessions.TypeEnded
	eventLocked   = "user_locked"
	eventUnlocked = "user_unlocked"
)

type (
	// ended names sessions that have ended.
	ended = sessions.Ended
	// nothing is what events have whose type says all.
	nothing struct{}
)
