package api

import "github.com/valyala/fasthttp"

// deployment says what the ids of requests follow from, and how long requests are remembered.
type deployment struct {
	Partitions  int   `json:"partitions"`
	RetentionMS int64 `json:"retention_ms"`
}

// showDeployment shows what a shop has to know of the deployment to compute ids, and to tell old requests.
func (a *API) showDeployment(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, shoppersOrServices); err != nil {
		return err
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], deployment{a.Reader.Partitions(), a.Retention.Milliseconds()}))
	return nil
}
