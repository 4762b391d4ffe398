package web

import (
	"errors"
	"net/http"

	"sluice/catalog/internal/apikey"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/problem"
	"sluice/core/stock"
)

// StepUpRequired is the kind of the refusals of a session that was not proved lately.
var StepUpRequired = problem.NewKind(problem.Kind{
	Code: "step_up_required", Status: http.StatusForbidden, Title: "The session has to be proved again for this.",
})

// Refusals without further members. Requests share them, because nothing ever changes them.
var (
	errNotFound   = &problem.Problem{Kind: problem.NotFound}
	errForbidden  = &problem.Problem{Kind: problem.Forbidden}
	errEnded      = &problem.Problem{Kind: problem.Unauthorized, Detail: auth.ErrEnded.Error()}
	errKey        = &problem.Problem{Kind: problem.Unauthorized, Detail: apikey.ErrKey.Error()}
	errNoToken    = &problem.Problem{Kind: problem.Unauthorized, Detail: "want an Authorization header with a bearer token"}
	errTwice      = &problem.Problem{Kind: problem.Malformed, Detail: "a header that may come once came twice", Close: true}
	errOverloaded = &problem.Problem{Kind: problem.Overloaded}
	errInternal   = &problem.Problem{Kind: problem.Internal}
)

// refusalOf returns the problem for an error. Packages of the shop say of an error of a store whether anything was done, in
// the words of package stock. Any other error is a bug.
func refusalOf(err error) *problem.Problem {
	var p *problem.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, stock.ErrUnknown):
		return &problem.Problem{Kind: problem.OutcomeUnknown}
	case errors.Is(err, stock.ErrNotApplied):
		p = &problem.Problem{Kind: problem.Unavailable}
		if server := new(config.ServerError); errors.As(err, &server) {
			p.Detail = server.Server + " cannot be reached."
		}
		return p
	}
	return errInternal
}

// refuse makes the problem document of an error the answer. It logs, now and then, what somebody has to look into.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, id string, err error) *problem.Kind {
	p := refusalOf(err)
	switch {
	case p == errInternal:
		s.meter.bugs.Inc()
		s.complain("a request failed for a reason that it should not", "error", err, "request_id", id)
	case p.Kind == problem.Unavailable, p.Kind == problem.OutcomeUnknown:
		s.complain("a request could not be served", "error", err, "request_id", id)
	}
	p.Write(w, r, id)
	return p.Kind
}

func (s *Server) complain(what string, attributes ...any) {
	s.complaints.Do(func() { s.Log.Warn(what, attributes...) })
}
