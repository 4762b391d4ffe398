package ids

import (
	"database/sql/driver"
	"errors"
	"strconv"
)

// User is the id of a user: 1 to 2^63-1 in the program and in SQL, and a string of digits elsewhere, as tokens have it. 0 is
// no id: it has no text and is never stored.
type User int64

// errUser says what a user's id is. The text may be anybody's secret in the wrong place: it is not quoted.
var errUser = errors.New("want the id of a user: a string of digits, 1 to 9223372036854775807, without leading zeros")

// AppendText implements encoding.TextAppender, and with it JSON. What is no id is an error.
func (u User) AppendText(dst []byte) ([]byte, error) {
	if u < 1 {
		return dst, errUser
	}
	return strconv.AppendInt(dst, int64(u), 10), nil
}

// MarshalText implements encoding.TextMarshaler, as AppendText.
func (u User) MarshalText() ([]byte, error) { return u.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *User) UnmarshalText(text []byte) error {
	id, ok := Parse(text)
	if !ok {
		return errUser
	}
	*u = User(id)
	return nil
}

// Value implements driver.Valuer. What is no id is an error.
func (u User) Value() (driver.Value, error) {
	if u < 1 {
		return nil, errUser
	}
	return int64(u), nil
}
