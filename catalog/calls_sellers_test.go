package catalog

import (
	"net/http"
	"strings"

	"sluice/core/auth"
)

// callsOfSellers counts what the way of a seller costs. Each write looks its key up, claims it and keeps the answer: three
// statements. A move is three more: the state, its history, and two of its event; a privileged act has two of the audit log.
func (c *callCounter) callsOfSellers() {
	const application = `{"legal_name":"Mia Miller GmbH","licence_no":"HRB 1","address":{"country":"DE","text":"Berlin"},` +
		`"documents":[{"kind":"licence","key":"a/b.pdf","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`
	admin, owner, ops := c.token(7, auth.RoleAdmin), c.token(7, auth.RoleShopper), c.token(9, auth.RoleShopper)
	const roles, role = "/v1/users/{user_id}/roles", "/v1/users/{user_id}/roles/{role}"
	c.call(request{"PUT", "/v1/users/9", `{"region":"eu","locale":"de"}`, c.token(7, auth.RoleService), http.StatusCreated, 6, 1, "/v1/users/{user_id}"})
	c.call(request{"PUT", "/v1/users/9/roles/ops", `{"granted":true,"reason":"x"}`, admin, http.StatusNoContent, 4, 1, role})
	c.call(request{"GET", "/v1/users/9/roles", "", admin, http.StatusOK, 2, 0, roles})
	id := c.call(request{"POST", "/v1/sellers", application, owner, http.StatusCreated, 10, 1, ""})["seller_id"]
	of := func(path string) (string, string) { return strings.Replace(path, "{seller_id}", id, 1), path }
	seller := func(method, path, body, token string, statements, transactions int64) {
		c.t.Helper()
		at, operation := of(path)
		c.call(request{method, at, body, token, http.StatusOK, statements, transactions, operation})
	}
	c.call(request{"POST", "/v1/sellers", application, owner, http.StatusCreated, 2, 1, ""}) // again
	c.call(request{"GET", "/v1/me/sellers", "", owner, http.StatusOK, 1, 0, ""})
	seller("PUT", "/v1/sellers/{seller_id}/application", application, owner, 6, 1)
	seller("GET", "/v1/sellers/{seller_id}/application", "", owner, 1, 0)
	c.call(request{"GET", "/v1/seller_reviews", "", ops, http.StatusOK, 2, 0, ""}) // its role is looked up
	c.call(request{"GET", "/v1/seller_reviews", "", ops, http.StatusOK, 1, 0, ""}) // and remembered
	seller("POST", "/v1/seller_reviews/{seller_id}/claim", "", ops, 12, 1)
	seller("POST", "/v1/seller_reviews/{seller_id}/decision", `{"approve":true,"reason":"x"}`, ops, 10, 1)
	seller("GET", "/v1/seller_reviews/{seller_id}", "", ops, 2, 0)
	if _, err := c.databases.All(0)[0].Writer().ExecContext(c.t.Context(), "UPDATE sellers SET state = 'open'"); err != nil {
		c.t.Fatal(err)
	}
	seller("GET", "/v1/sellers/{seller_id}", "", "", 1, 0)
	seller("PUT", "/v1/sellers/{seller_id}/state", `{"state":"suspended","reason":"x"}`, ops, 11, 1)
}
