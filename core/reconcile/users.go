package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sluice/core/registry"
	"sluice/core/show"
)

// usersMax is how many differences of registered users a report lists.
const usersMax = 1000

// Users is a number of registered users that differs from the number of their rows in MySQL. It is about a sale, and
// not about one of its cells, so it is no Finding.
type Users struct {
	Sale      show.ID   `json:"sale_id"`
	Partition *int      `json:"partition,omitzero"` // of the set in Redis; nil: the row of the sale, which counts its users, is wrong
	Has       int64     `json:"has"`
	Rows      int64     `json:"rows"`
	Strangers []show.ID `json:"not_in_mysql,omitzero"` // some whom the set has and MySQL has not
}

// compareUsers compares the users of the sales in the scope.
func (w *sweep) compareUsers(ctx context.Context) {
	if w.Users == nil || w.scope.SKU != 0 {
		return
	}
	var sale uint32 // any
	if w.scope.Sale != nil {
		if sale = *w.scope.Sale; sale == 0 {
			return // normal stock
		}
	}
	found, err := w.Users(ctx, sale)
	if err != nil {
		w.unreadable(InRegistrations, -1, err)
	}
	for i := range found[:min(len(found), usersMax)] {
		w.report.Users = append(w.report.Users, usersFrom(&found[i]))
	}
}

func usersFrom(d *registry.Difference) Users {
	u := Users{Sale: show.ID(d.Sale), Has: d.Has, Rows: d.Rows}
	if d.Partition >= 0 {
		u.Partition = &d.Partition
	}
	for _, user := range d.Strangers {
		u.Strangers = append(u.Strangers, show.ID(user))
	}
	return u
}

// Says returns the difference in words.
func (u *Users) Says() string {
	if u.Partition == nil {
		return fmt.Sprintf("the row of the sale counts %d, and MySQL has %d", u.Has, u.Rows)
	}
	text := fmt.Sprintf("partition %d of Redis has %d, and MySQL has %d", *u.Partition, u.Has, u.Rows)
	if len(u.Strangers) > 0 {
		text += fmt.Sprintf(". MySQL has no row of user %s", u.names(", "))
		if int64(len(u.Strangers)) < u.Has-u.Rows {
			text += " and others"
		}
	}
	return text
}

// Do returns how to put it right.
func (u *Users) Do() string {
	switch {
	case u.Partition == nil:
		return registry.Recount(int64(u.Sale), u.Rows)
	case u.Has < u.Rows:
		return "start an edge, or see what the edges log: they bring users back to Redis every 5 seconds"
	}
	return fmt.Sprintf("if these users belong to the sale, sluice sale register %d --user %s. If not, UNLINK {p%d}:registered:%d in Redis: edges write it anew from MySQL within 5 seconds",
		int64(u.Sale), u.names(" --user "), *u.Partition, int64(u.Sale))
}

func (u *Users) names(between string) string {
	names := make([]string, len(u.Strangers))
	for i, user := range u.Strangers {
		names[i] = strconv.FormatInt(int64(user), 10)
	}
	return strings.Join(names, between)
}
