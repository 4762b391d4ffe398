// Package notify owns the messages of the shop to people: what they say in which language, the way they take, and how many
// somebody may ask for. A message is written in the transaction of what it tells of, once per event, user, template and
// channel, and sent by a task, at least once. Whom it goes to and what it says are encrypted, and kept until it is sent or
// given up. They are in no log, no metric and no error. It asks no other package.
package notify

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/core/ids"
)

// Channel is a way to people.
type Channel string

// The channels.
const (
	Email Channel = "email"
	SMS   Channel = "sms"
)

var channels = []Channel{Email, SMS}

// Message is what somebody is told.
type Message struct {
	Event    string            // the id of what it tells of; nothing personal
	User     ids.User          // 0: somebody who has no account
	Template string            // one of those in this package
	Channel  Channel           // one of the template's
	Locale   string            // the language is the nearest one that the template has
	To       string            // an e-mail address, or a number such as +4915112345678
	Values   map[string]string // those that the template has

	// Within is how long it is of use. Defaults to the template's. A code is of none once it has ended.
	Within time.Duration
}

// Format implements fmt.Formatter, for every verb: nobody shows what is personal by mistake.
func (m Message) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, m.Template+" by "+string(m.Channel)) // as fmt itself: a failing writer is noticed by who owns it
}

// LogValue implements slog.LogValuer.
func (m Message) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(m)) }

// identity follows from what a message is known by.
func (m Message) identity() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s %d %s %s", m.Event, m.User, m.Template, m.Channel))
}

// name is the same for each attempt to send a message: a receiver knows a second one by it.
func (m Message) name() string {
	identity := m.identity()
	return hex.EncodeToString(identity[:16])
}

// row is what the ciphertext of a message belongs to: the number of its row is not known when it is encrypted.
func (m Message) row() int64 {
	identity := m.identity()
	return int64(binary.BigEndian.Uint64(identity[16:]) >> 1)
}

const (
	withinMax      = 7 * 24 * time.Hour
	localeBytesMax = 40
	valueBytesMax  = 4 * phraseMax
)

var (
	eventForm  = regexp.MustCompile(`^[\x21-\x7e]{1,100}$`)
	numberForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// template says what a message of a name may be.
type template struct {
	channels []Channel
	values   map[string]form
	within   time.Duration
}

// templates are the messages that there are.
var templates = map[string]template{
	"verify_email":       {[]Channel{Email}, map[string]form{"code": code, "minutes": number}, 24 * time.Hour},
	"account_exists":     {[]Channel{Email}, nil, 24 * time.Hour},
	"reset_password":     {[]Channel{Email}, map[string]form{"code": code, "minutes": number}, time.Hour},
	"no_account":         {[]Channel{Email}, nil, time.Hour},
	"email_changed":      {[]Channel{Email}, map[string]form{"address": phrase, "at": instant}, 72 * time.Hour},
	"password_changed":   {[]Channel{Email}, map[string]form{"at": instant}, 72 * time.Hour},
	"totp_set":           {[]Channel{Email}, map[string]form{"at": instant}, 72 * time.Hour},
	"totp_removed":       {[]Channel{Email}, map[string]form{"at": instant}, 72 * time.Hour},
	"recovery_code_used": {[]Channel{Email}, map[string]form{"at": instant}, 72 * time.Hour},
	"new_sign_in":        {[]Channel{Email}, map[string]form{"at": instant, "device": phrase}, 24 * time.Hour},
	"sign_in_added":      {[]Channel{Email, SMS}, map[string]form{"way": phrase, "at": instant}, 72 * time.Hour},
	"sign_in_removed":    {[]Channel{Email, SMS}, map[string]form{"way": phrase, "at": instant}, 72 * time.Hour},
	"sign_in_code":       {[]Channel{SMS}, map[string]form{"code": code, "minutes": number}, 10 * time.Minute},
	"invitation":         {[]Channel{Email}, map[string]form{"seller": phrase, "code": code, "days": number}, withinMax},
	"member_joined":      {[]Channel{Email}, map[string]form{"seller": phrase, "at": instant}, 72 * time.Hour},
	"member_removed":     {[]Channel{Email}, map[string]form{"seller": phrase, "at": instant}, 72 * time.Hour},
	"owner_offered":      {[]Channel{Email}, map[string]form{"seller": phrase, "at": instant}, 72 * time.Hour},
	"webhook_set":        {[]Channel{Email}, map[string]form{"seller": phrase, "at": instant}, 72 * time.Hour},
	"webhook_disabled":   {[]Channel{Email}, map[string]form{"seller": phrase, "at": instant}, 72 * time.Hour},
	"api_key_made":       {[]Channel{Email}, map[string]form{"seller": phrase, "at": instant}, 72 * time.Hour},
	"owner_changed":      {[]Channel{Email}, map[string]form{"seller": phrase, "at": instant}, 72 * time.Hour},
}

// check returns an error unless a message can be written, and completes it. The error quotes nothing personal.
func (m *Message) check() error {
	t, known := templates[m.Template]
	switch {
	case !known:
		return fmt.Errorf("message: there is no template %.60q", m.Template)
	case !slices.Contains(t.channels, m.Channel):
		return fmt.Errorf("message %s: it has no channel %.20q", m.Template, m.Channel)
	case !eventForm.MatchString(m.Event) || m.User < 0:
		return fmt.Errorf("message %s: its event or its user has a wrong form", m.Template)
	case !Reaches(m.Channel, m.To):
		return fmt.Errorf("message %s: its recipient is none of channel %s", m.Template, m.Channel)
	case m.Within < 0 || m.Within > withinMax:
		return fmt.Errorf("message %s: it is of use for %v, want at most %v", m.Template, m.Within, withinMax)
	}
	if m.Within == 0 {
		m.Within = t.within
	}
	if len(m.Locale) > localeBytesMax { // of no language
		m.Locale = ""
	}
	m.Values = maps.Clone(m.Values)
	for key, value := range m.Values { // more of a phrase is not shown
		m.Values[key] = strings.ToValidUTF8(value[:min(len(value), valueBytesMax)], "")
	}
	_, err := t.shown(m.Template, m.Values)
	return err
}

// Reaches reports whether a recipient has the form that a channel takes.
func Reaches(channel Channel, to string) bool {
	switch channel {
	case Email:
		address, err := mail.ParseAddress(to)
		return err == nil && address.Address == to && len(to) <= 254 && !strings.ContainsFunc(to, isControl)
	case SMS:
		return numberForm.MatchString(to)
	}
	return false
}

// shown returns the values as the texts have them. The error names a value, and does not quote it.
func (t template) shown(name string, values map[string]string) (map[string]string, error) {
	shown := map[string]string{}
	for key, form := range t.values {
		value, ok := values[key]
		if !ok {
			return nil, fmt.Errorf("message %s: it lacks the value %s", name, key)
		}
		if shown[key], ok = form(value); !ok {
			return nil, fmt.Errorf("message %s: the value %s has a wrong form", name, key)
		}
	}
	if len(values) > len(shown) {
		return nil, fmt.Errorf("message %s: it has %d values, want %d", name, len(values), len(shown))
	}
	return shown, nil
}
