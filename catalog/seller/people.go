package seller

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
)

const (
	insertAct = "INSERT INTO seller_acts__ (seller_id, at, actor, act, object, role) VALUES (?, COALESCE(?, NOW(3)), ?, ?, ?, ?)"

	// isReader makes sure that people, and systems, read the rows of their own seller only. The systems of a closed one read nothing.
	isReader = "s.seller_id = ? AND (s.seller_id = ? AND s.state <> 'closed' OR EXISTS (SELECT 1 FROM seller_members__ AS me WHERE me.seller_id = s.seller_id AND me.user_id = ?))"
	// A seller without acts has a row of NULLs.
	selectActs = "SELECT a.act_id, a.at, a.actor, a.act, a.object, a.role FROM sellers__ AS s " +
		"LEFT JOIN seller_acts__ AS a ON a.seller_id = s.seller_id AND a.act_id < ? WHERE " + isReader + " ORDER BY a.act_id DESC LIMIT ?"
	selectAct    = "SELECT at FROM seller_acts__ WHERE seller_id = ? AND act_id = ?"
	selectSealed = "SELECT application FROM sellers__ WHERE seller_id = ?"
)

// What the people of a seller do about each other.
const (
	actInvite   = "invite"
	actWithdraw = "withdraw"
	actJoin     = "join"
	actLeave    = "leave"
	actRemove   = "remove"
)

// taskTell is the kind of the tasks that tell users what has happened. It is never renamed.
const taskTell = "tell_person"

// roleNone is what somebody is who has left, in events.
const roleNone = "none"

// memberEvent tells others what a user is in a seller from now on.
type memberEvent struct {
	User ids.User `json:"user_id"`
	Role string   `json:"role"`
}

// deed is something that one of the people of a seller does about another, or about itself.
type deed struct {
	act    string
	object string    // whom or what it is about
	role   string    // afterwards; empty: it has nothing to do with roles
	at     time.Time // zero: at this moment
}

// did writes a deed down, for the people of the seller and in the audit log.
func (c *change) did(ctx context.Context, id ids.Seller, d deed) error {
	if err := c.writeDown(ctx, id, d); err != nil {
		return err
	}
	changes := []audit.Change{{Name: "about", After: d.object}}
	if d.role != "" {
		changes = append(changes, audit.Change{Name: "role", After: d.role})
	}
	c.act = &audit.Act{Author: c.by.Author, Act: "seller." + d.act, Object: "seller:" + id.String(), Changes: changes}
	return nil
}

// writeDown writes a deed down for the people of the seller.
func (c *change) writeDown(ctx context.Context, id ids.Seller, d deed) error {
	done, err := c.in.ExecContext(ctx, insertAct, id, sql.NullTime{Time: d.at, Valid: !d.at.IsZero()}, c.by.Actor, d.act, d.object, d.role)
	if err == nil {
		c.deed, err = done.LastInsertId()
	}
	if err != nil {
		return db.WriteError("write an act", err)
	}
	return nil
}

// becomes tells others what a user is in a seller.
func (c *change) becomes(ctx context.Context, id ids.Seller, user ids.User, role string) error {
	return c.publish(ctx, id, eventMember, memberEvent{user, role})
}

// telling are the data of a task that tells a user of an act.
type telling struct {
	Seller   ids.Seller `json:"seller_id"`
	Act      int64      `json:"act_id,string"`
	User     ids.User   `json:"user_id"`
	Template string     `json:"template"`
}

// notify has a user told what was done last, once that has committed.
func (c *change) notify(ctx context.Context, id ids.Seller, user ids.User, template string) error {
	return c.tasks().Add(ctx, c.tx, taskTell, "", telling{id, c.deed, user, template}, 0)
}

func (c *change) tasks() task.Tasks { return task.Of(owner, c.p.Suffix) }

// tellPerson is such a task.
func (s *Sellers) tellPerson(ctx context.Context, t task.Task) error {
	var of telling
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	p := s.at(of.Seller)
	var at time.Time
	if err := p.In(p.Writer()).QueryRowContext(ctx, selectAct, of.Seller, of.Act).Scan(&at); err != nil {
		return readError(p, err)
	}
	name, err := s.legalName(ctx, of.Seller)
	if err != nil {
		return err
	}
	return s.accounts.Tell(ctx, of.User, account.Notice{
		Event: fmt.Sprintf("%s-%d", of.Seller, of.Act), Template: of.Template,
		Values: map[string]string{"seller": name, "at": at.UTC().Format(time.RFC3339)},
	})
}

// legalName is who a seller is, for a message.
func (s *Sellers) legalName(ctx context.Context, id ids.Seller) (string, error) {
	p := s.at(id)
	var sealed []byte
	if err := p.In(p.Writer()).QueryRowContext(ctx, selectSealed, id).Scan(&sealed); err != nil {
		return "", readError(p, err)
	}
	a, err := s.open(id, sealed)
	return a.LegalName, err
}

// userObject names a user in acts.
func userObject(user ids.User) string { return audit.Of("user", int64(user)) }

// Done is an act as the people of a seller see it.
type Done struct {
	At     time.Time
	Actor  string
	Act    string
	Object string
	Role   string // empty: none

	id int64
}

// Reader is who reads the rows of a seller: one of its people, or a system that has a key of it. The zero value is nobody.
type Reader struct {
	User ids.User
	Key  ids.Seller // whose key it is
}

// of are the values of isReader.
func (r Reader) of(id ids.Seller) []any { return []any{id, int64(r.Key), int64(r.User)} }

// Acts lists what the people of a seller did about each other, the newest first, before an act: 0 is the end. Next is 0 after the
// last page.
func (s *Sellers) Acts(ctx context.Context, by Reader, id ids.Seller, before int64, limit int) (all []Done, next int64, err error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	p, known := s.at(id), false
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		known = true
		var n sql.NullInt64
		var at sql.NullTime
		var actor, act, object, role sql.NullString
		err := row.Scan(&n, &at, &actor, &act, &object, &role)
		if n.Valid {
			all = append(all, Done{at.Time, actor.String, act.String, object.String, role.String, n.Int64})
		}
		return err
	}, selectActs, append(append([]any{before}, by.of(id)...), limit+1)...)
	switch {
	case err != nil:
		return nil, 0, readError(p, err)
	case !known:
		return nil, 0, errUnknown
	case len(all) > limit:
		return all[:limit], all[limit-1].id, nil
	}
	return all, 0, nil
}

// A code of an invitation names it, and has what only who got it knows. It is one text of letters, digits, - and _.
const (
	proofBytes = 16
	codeBytes  = 8 + 8 + proofBytes
)

var codeForm = base64.RawURLEncoding.Strict()

// code is that of an invitation.
func (s *Sellers) code(id ids.Seller, of ids.Invitation) string {
	proof := s.sealer.ProveInvitation(id, of)
	text := binary.BigEndian.AppendUint64(nil, uint64(id))
	text = binary.BigEndian.AppendUint64(text, uint64(of))
	return codeForm.EncodeToString(append(text, proof[:proofBytes]...))
}

// readCode finds out which invitation a code is of, if it is one. It asks no database.
func (s *Sellers) readCode(code string) (id ids.Seller, of ids.Invitation, ok bool) {
	text, err := codeForm.DecodeString(code)
	if err != nil || len(text) != codeBytes {
		return 0, 0, false
	}
	id, of = ids.Seller(binary.BigEndian.Uint64(text)), ids.Invitation(binary.BigEndian.Uint64(text[8:]))
	if id < 1 || of < 1 {
		return 0, 0, false
	}
	proof := s.sealer.ProveInvitation(id, of)
	return id, of, subtle.ConstantTimeCompare(proof[:proofBytes], text[16:]) == 1
}
