// Package web is what the HTTP API of the shop has in common: how requests are read, who may make them, how they are limited,
// counted and refused. It answers in the words of the edge, by the same packages of core. It knows no package of the shop:
// each gives it routes, which are generated from the API document.
package web

import (
	"net/http"
	"strings"

	"sluice/core/auth"
	"sluice/core/problem"
)

// Route is an operation of the API document.
type Route struct {
	Operation  string // its id
	Method     string
	Path       string   // as in the document: /v1/users/{user_id}
	Parameters []string // of the query
	Body       bool     // it has one, and it has to be there

	// Serve reads the request, does what it asks for, and returns what writes the answer. Its errors are problems, or what
	// refusalOf knows.
	Serve func(r *http.Request) (Answer, error)
}

// Answer writes the answer of an operation.
type Answer func(w http.ResponseWriter) error

// writes reports whether an operation changes something, so that it needs a key.
func (r Route) writes() bool { return r.Method != http.MethodGet }

// label names an operation in metrics: showMe is show_me.
func (r Route) label() string {
	var b strings.Builder
	for i, c := range []byte(r.Operation) {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
			if i > 0 {
				b.WriteByte('_')
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Permission says who may call an operation, and on what.
type Permission struct {
	Roles Roles
	Scope auth.Scopes // that a service's token needs, if it is narrowed at all
	// KeyScope is the scope that an API key of a seller needs. Empty: no key may call the operation.
	KeyScope string
	// KeyWrites says of an operation that writes that an API key may call it: what is written then has a system of the seller for its
	// author, and no person.
	KeyWrites bool
	On        string // for people: whose objects
	// Live reads need a session that lives as of now. Writes need one anyway, and other reads take it for some seconds longer.
	Live bool
	// StepUp asks people for a session that was proved lately (Config.Proved). It is for acts that a stolen token must not be enough
	// for. Admins have keys of files, and no sessions.
	StepUp bool
}

// fault is what is wrong with a permission. Nobody may call an operation without saying what of a service it needs.
func (p Permission) fault() string {
	switch {
	case p.Roles == 0:
		return "it is nobody's"
	case p.Roles.Has(auth.RoleService) != (p.Scope != 0) && p.Roles&Anybody == 0:
		return "a service may call it without a scope, or it has a scope and no service may call it"
	case (p.Roles&RolesOf(RoleSellerKey) != 0) != (p.KeyScope != ""):
		return "an API key may call it without a scope, or it has a scope and no key may call it"
	case p.StepUp && p.Roles&^(RolesOf(auth.RoleShopper, auth.RoleAdmin)|Granted|sellers) != 0:
		return "it asks for a proved session, and others than people may call it"
	}
	return ""
}

// refuse returns why the bearer of a token may not call the operation, or nil.
func (p Permission) refuse(who auth.Identity) error {
	switch {
	case !p.Roles.Has(who.Role):
		return errForbidden
	case who.Role == auth.RoleService && !who.Scopes.Allow(p.Scope):
		return &problem.Problem{Kind: problem.Forbidden, Detail: p.Scope.Lacking()}
	}
	return nil
}

// Permissions are those of all operations, by their ids. An operation that is not among them is nobody's: New refuses it.
type Permissions map[string]Permission
