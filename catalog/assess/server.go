package assess

import (
	"context"
	"errors"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/assess/internal/api"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
)

// reviewers are those who decide about people.
var reviewers = web.RolesOf(web.RoleSupport, web.RoleOps, auth.RoleAdmin)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ListAssessments":  {Roles: reviewers, On: "all who wait", Live: true},
	"ClaimAssessment":  {Roles: reviewers, On: "all who wait"},
	"DecideAssessment": {Roles: reviewers, On: "what it has claimed", StepUp: true},
}

// Routes are the operations of assessments.
func (a *Assessments) Routes() []web.Route { return api.Routes(server{a}) }

// server answers requests.
type server struct{ *Assessments }

var _ api.StrictServerInterface = server{}

// queueLimit is how many assessments a page has if nobody says.
const queueLimit = 50

// author is who makes a request, for the log of privileged acts.
func author(ctx context.Context) audit.Author {
	return audit.Author{Actor: web.Actor(ctx), Origin: web.Origin(ctx)}
}

// ListAssessments implements api.StrictServerInterface.
func (s server) ListAssessments(ctx context.Context, r api.ListAssessmentsRequestObject) (api.ListAssessmentsResponseObject, error) {
	found, next, err := s.Queue(ctx, r.Params.Limit.Or(queueLimit), r.Params.Cursor)
	switch {
	case errors.Is(err, ErrCursor):
		return nil, web.Malformed("", "%v", err)
	case err != nil:
		return nil, err
	}
	list := api.ListAssessments200JSONResponse{Data: []api.Assessment{}}
	for i := range found {
		list.Data = append(list.Data, shown(&found[i]))
	}
	if next != "" {
		list.NextCursor = &next
	}
	return list, nil
}

// ClaimAssessment implements api.StrictServerInterface.
func (s server) ClaimAssessment(ctx context.Context, r api.ClaimAssessmentRequestObject) (api.ClaimAssessmentResponseObject, error) {
	var c Case
	if err := c.UnmarshalText([]byte(r.AssessmentID)); err != nil {
		return nil, web.Malformed("", "the id in the path: %v", err)
	}
	if who := web.Who(ctx); who.Role == auth.RoleShopper && c.Moment == SignUp && c.Subject == who.Subject {
		return nil, errSelf
	}
	claimed, err := s.Claim(ctx, c, author(ctx))
	if err != nil {
		return nil, err
	}
	return api.ClaimAssessment200JSONResponse(shown(&claimed)), nil
}

// DecideAssessment implements api.StrictServerInterface.
func (s server) DecideAssessment(ctx context.Context, r api.DecideAssessmentRequestObject) (api.DecideAssessmentResponseObject, error) {
	var c Case
	if err := c.UnmarshalText([]byte(r.AssessmentID)); err != nil {
		return nil, web.Malformed("", "the id in the path: %v", err)
	}
	decided, err := s.Decide(ctx, c, Decision{Allowed: r.Body.Allow, Reason: r.Body.Reason}, author(ctx))
	if err != nil {
		return nil, err
	}
	return api.DecideAssessment200JSONResponse(shown(&decided)), nil
}

// shown is a review as the API shows it.
func shown(r *Review) api.Assessment {
	to := api.Assessment{
		AssessmentID: r.String(), Answer: api.AssessmentAnswer(r.Answer), Rule: r.Rule, Rules: r.Rules, Facts: []string{},
		State: api.AssessmentState(r.State), MadeAt: r.MadeAt,
		ClaimedBy: word(r.ClaimedBy), ClaimEndsAt: moment(r.ClaimEnds), DecidedBy: word(r.DecidedBy), DecidedAt: moment(r.DecidedAt), Reason: word(r.Reason),
	}
	for _, f := range r.Facts {
		to.Facts = append(to.Facts, string(f))
	}
	return to
}

func word(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
