package account

import (
	"context"
	"errors"

	"sluice/catalog/account/audit"
	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/web"
)

// auditLimit is how many acts a page has if nobody says.
const auditLimit = 50

// ListAudit implements api.StrictServerInterface.
func (s server) ListAudit(ctx context.Context, r api.ListAuditRequestObject) (api.ListAuditResponseObject, error) {
	p := r.Params
	for _, name := range []struct {
		parameter, value string
		has              func(string) bool
	}{{"actor", p.Actor, audit.IsName}, {"act", p.Act, audit.IsAct}, {"object", p.Object, audit.IsName}} {
		if name.value != "" && !name.has(name.value) {
			return nil, web.Malformed("", "the query parameter %s: no act has such a name", name.parameter)
		}
	}
	found, next, err := audit.NewReader(s.databases).Search(ctx, audit.Filter{
		Actor: p.Actor, Act: p.Act, Object: p.Object, From: p.From.Time, Until: p.Until.Time,
	}, audit.Page{Limit: p.Limit.Or(auditLimit), After: p.Cursor})
	switch {
	case errors.Is(err, audit.ErrCursor):
		return nil, web.Malformed("", "%v", err)
	case err != nil:
		return nil, err
	}
	list := api.ListAudit200JSONResponse{Data: append([]audit.Entry{}, found...)}
	if next != "" {
		list.NextCursor = &next
	}
	return list, nil
}
