package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/ledger"
	"sluice/core/repair"
)

// authority is who carries a plan out, and by whose approval.
type authority struct {
	operator string
	approval *ledger.Approval // nil: the plan needs none
}

// authority says who carries a plan out. It refuses a plan that is too large for that and that no other admin has approved.
func (r *Repairs) authority(p *repair.Plan) (authority, error) {
	a := authority{operator: decider(r.By)} // nobody has proved it
	token, err := r.OperatorToken.FromFile("operator-token-file", r.OperatorTokenFile)
	if err != nil {
		return a, usage(err)
	}
	if r.ApprovalFile == "" && p.Units > r.UnitsMax {
		return a, refused(fmt.Errorf("the plan puts %s units right, and more than %s need the approval of another admin, who makes it by\n"+
			"  sluice token --role admin --user ID --plan %v\nGive its file as --approve-token-file, and a token of your own as --operator-token-file",
			number(p.Units), number(r.UnitsMax), p.Digest))
	}
	if r.ApprovalFile == "" && token == "" {
		return a, nil
	}
	if r.Key.File == "" {
		return a, usage(errors.New("--token-key-file (SLUICE_TOKEN_KEY_FILE) is missing: it verifies the tokens of --operator-token-file and --approve-token-file"))
	}
	keys, err := r.Key.read()
	if err != nil {
		return a, usage(err)
	}
	me, err := r.identify(keys, token)
	if err != nil {
		return a, err
	}
	a.operator = strconv.FormatInt(me, 10)
	if r.ApprovalFile != "" {
		a.approval, err = r.approval(keys, p, me)
	}
	return a, err
}

// identify is the admin whose token was given.
func (r *Repairs) identify(keys *auth.Keys, token config.Secret) (int64, error) {
	if token == "" {
		return 0, usage(errors.New("--operator-token-file (SLUICE_OPERATOR_TOKEN, SLUICE_OPERATOR_TOKEN_FILE) is missing: where a plan needs an approval, " +
			"whoever carries it out shows an admin's token too"))
	}
	if r.By != "" {
		return 0, usage(errors.New("by: the operator's token says who does it: leave out --by"))
	}
	verifier := auth.NewVerifier(keys, auth.VerifierConfig{Issuer: r.Issuer, Audience: r.Audience, CacheMax: 1})
	me, err := verifier.Verify([]byte(strings.TrimSpace(token.Reveal())), time.Now())
	switch {
	case err != nil:
		return 0, refused(fmt.Errorf("operator-token-file: %w", err))
	case me.Role != auth.RoleAdmin:
		return 0, refused(fmt.Errorf("operator-token-file: user %d is %v: an admin carries plans out", me.Subject, me.Role))
	}
	return me.Subject, nil
}

// approval is that of a plan, which another admin than the operator gives.
func (r *Repairs) approval(keys *auth.Keys, p *repair.Plan, operator int64) (*ledger.Approval, error) {
	token, err := config.Secret("").FromFile("approve-token-file", r.ApprovalFile)
	if err != nil {
		return nil, usage(err)
	}
	given, err := keys.Approval(strings.TrimSpace(token.Reveal()), r.Issuer, r.Audience, p.Digest.String(), time.Now())
	switch {
	case err != nil:
		return nil, refused(fmt.Errorf("approve-token-file: %w\nThe plan is %v", err, p.Digest))
	case given.By == operator:
		return nil, refused(fmt.Errorf("approve-token-file: admin %d carries the plan out and cannot approve it too: another admin has to", operator))
	}
	return &ledger.Approval{ID: given.ID, Plan: p.Digest, Operator: operator, Approver: given.By}, nil
}
