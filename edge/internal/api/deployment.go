package api

import "github.com/valyala/fasthttp"

// deployment has the numbers from which ids of requests are computed, and how long requests are remembered.
type deployment struct {
	Partitions  int   `json:"partitions"`
	RetentionMS int64 `json:"retention_ms"`
}

// showDeployment shows a shop the numbers of the deployment from which it computes ids and finds out which requests are
// old.
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
