package catalog

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/auth"
)

// callsOfSellers counts what the way of a seller costs. Each write looks its key up, claims it and keeps the answer: three
// statements. A move is five more: the state, its history, two of its event, and a look for webhooks; a privileged act has two of the audit log. Ops have a
// session: one statement looks whether it lives, and of a decision another one whether it is proved.
func (c *callCounter) callsOfSellers() {
	const application = `{"legal_name":"Mia Miller GmbH","licence_no":"HRB 1","address":{"country":"DE","text":"Berlin"},` +
		`"documents":[{"kind":"licence","key":"a/b.pdf","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`
	admin, owner, ops := c.token(7, auth.RoleAdmin), c.token(8, auth.RoleShopper), c.issue(auth.Identity{Subject: 9, Role: auth.RoleShopper, Session: 9})
	sql := func(statement string) {
		c.t.Helper()
		if _, err := c.databases.All(0)[0].Writer().ExecContext(c.t.Context(), statement); err != nil {
			c.t.Fatal(err)
		}
	}
	sql("INSERT INTO sessions (user_id, session_id, seed, created_at, rotated_at, ends_at, proved_at, proved_by) " +
		"VALUES (9, 9, '', NOW(3), NOW(3), NOW(3) + INTERVAL 1 DAY, NOW(3) + INTERVAL 1 DAY, 'password')")
	const roles, role = "/v1/users/{user_id}/roles", "/v1/users/{user_id}/roles/{role}"
	for _, user := range []string{"8", "9"} {
		c.call(request{"PUT", "/v1/users/" + user, `{"region":"eu","locale":"de"}`, c.token(7, auth.RoleService), http.StatusCreated, 6, 1, "/v1/users/{user_id}"})
	}
	c.call(request{"PUT", "/v1/users/9/roles/ops", `{"granted":true,"reason":"x"}`, admin, http.StatusNoContent, 4, 1, role})
	c.call(request{"GET", "/v1/users/9/roles", "", admin, http.StatusOK, 2, 0, roles})
	id := c.call(request{"POST", "/v1/sellers", application, owner, http.StatusCreated, 21, 1, ""})["seller_id"] // five of them assess, and two are a lock
	of := func(path string) (string, string) { return strings.Replace(path, "{seller_id}", id, 1), path }
	seller := func(method, path, body, token string, statements, transactions int64) {
		c.t.Helper()
		at, operation := of(path)
		c.call(request{method, at, body, token, http.StatusOK, statements, transactions, operation})
	}
	decided := func(method, path, body string, statements int64) {
		c.t.Helper()
		at, operation := of(path)
		c.callAll(map[string]string{"Idempotency-Key": "as_of_three", "If-Match": `"3"`}, request{method, at, body, ops, http.StatusOK, statements, 1, operation})
	}
	c.call(request{"POST", "/v1/sellers", application, owner, http.StatusCreated, 8, 1, ""}) // again
	c.call(request{"GET", "/v1/me/sellers", "", owner, http.StatusOK, 1, 0, ""})
	seller("PUT", "/v1/sellers/{seller_id}/application", application, owner, 7, 1)
	seller("GET", "/v1/sellers/{seller_id}/application", "", owner, 1, 0)
	c.call(request{"GET", "/v1/seller_reviews", "", ops, http.StatusOK, 3, 0, ""}) // its role is looked up
	c.call(request{"GET", "/v1/seller_reviews", "", ops, http.StatusOK, 2, 0, ""}) // and remembered
	seller("POST", "/v1/seller_reviews/{seller_id}/claim", "", ops, 14, 1)
	decided("POST", "/v1/seller_reviews/{seller_id}/decision", `{"approve":true,"reason":"x"}`, 13) // one looks who has approved before
	seller("GET", "/v1/seller_reviews/{seller_id}", "", ops, 3, 0)
	sql("UPDATE sellers SET state = 'open'")
	seller("GET", "/v1/sellers/{seller_id}", "", "", 1, 0)
	decided("PUT", "/v1/sellers/{seller_id}/state", `{"state":"suspended","reason":"x"}`, 14)
}

// callsOfPeople are of Mia, who signs in. Of each call one statement looks whether her session lives, and of an invitation another
// one whether it is proved. A deed of the people of a seller costs three more: its row, and two of the audit log.
func (c *callCounter) callsOfPeople() {
	signIn := request{"POST", "/v1/sessions", `{"email":"mia@example.org","password":"correct horse battery staple"}`, "", http.StatusCreated, 7, 1, ""}
	me := c.callUnder("people", signIn)["access_token"]
	mia := c.call(request{"GET", "/v1/me", "", me, http.StatusOK, 1, 0, ""})["user_id"]
	sql := func(statement string) {
		c.t.Helper()
		if _, err := c.databases.All(0)[0].Writer().ExecContext(c.t.Context(), statement); err != nil {
			c.t.Fatal(err)
		}
	}
	sql("INSERT INTO seller_members (seller_id, user_id, role, since) SELECT seller_id, " + mia + ", 'owner', NOW(3) FROM sellers")
	list := c.callAll(nil, request{"GET", "/v1/me/sellers", "", me, http.StatusOK, 1, 0, ""})
	data, _ := list["data"].([]any)
	of, _ := data[0].(map[string]any)
	seller := "/v1/sellers/" + fmt.Sprint(of["seller_id"])
	const invitations, invitation, members, acts = "/v1/sellers/{seller_id}/invitations", "/v1/sellers/{seller_id}/invitations/{invitation_id}", "/v1/sellers/{seller_id}/members", "/v1/sellers/{seller_id}/acts"
	invite := request{"POST", seller + "/invitations", `{"email":"tim@example.org","role":"member","locale":"de"}`, me, http.StatusCreated, 19, 2, invitations} // three and a transaction count the message
	first := c.call(invite)["invitation_id"]
	c.call(request{"GET", seller + "/invitations", "", me, http.StatusOK, 2, 0, invitations})
	c.call(request{"DELETE", seller + "/invitations/" + first, "", me, http.StatusNoContent, 8, 1, invitation})
	invite.body = strings.Replace(invite.body, "tim", "mia", 1)
	c.callUnder("k2", invite)
	code := c.found("mia@example.org", "invitation", `(?m)^[A-Za-z0-9_-]{43}$`)
	sql("DELETE FROM seller_members WHERE user_id = " + mia)
	c.call(request{"POST", "/v1/me/sellers", `{"code":"` + code + `"}`, me, http.StatusCreated, 18, 1, ""})
	sql("UPDATE seller_members SET role = 'owner'")
	c.call(request{"GET", seller + "/members", "", me, http.StatusOK, 2, 0, members})
	c.call(request{"GET", seller + "/acts", "", me, http.StatusOK, 2, 0, acts})
	const transfer = "/v1/sellers/{seller_id}/transfer"
	sql("UPDATE seller_members SET role = 'member' WHERE user_id = 8")
	c.call(request{"PUT", seller + "/transfer", `{"user_id":"8"}`, me, http.StatusOK, 12, 1, transfer})
	c.call(request{"GET", seller + "/transfer", "", me, http.StatusOK, 2, 0, transfer})
	c.call(request{"DELETE", seller + "/transfer", "", me, http.StatusNoContent, 11, 1, transfer})
	sql("INSERT INTO seller_offers (seller_id, from_user, to_user, made_at, ends_at) SELECT seller_id, 8, " + mia + ", NOW(3), NOW(3) + INTERVAL 1 DAY FROM sellers")
	c.call(request{"POST", seller + "/transfer/acceptance", "", me, http.StatusOK, 23, 1, transfer + "/acceptance"})
	const keys = "/v1/sellers/{seller_id}/api_keys"
	made := c.call(request{"POST", seller + "/api_keys", `{"name":"warehouse","scopes":["members:read"],"days":30}`, me, http.StatusCreated, 11, 1, keys})
	c.call(request{"GET", seller + "/members", "", made["key"], http.StatusOK, 3, 0, members}) // the key, the note of its use, and the members
	c.call(request{"GET", seller + "/members", "", made["key"], http.StatusOK, 2, 0, members})
	c.call(request{"GET", seller + "/api_keys", "", me, http.StatusOK, 3, 0, keys})
	c.call(request{"DELETE", seller + "/api_keys/" + made["prefix"], "", me, http.StatusNoContent, 6, 1, keys + "/{prefix}"})
	c.callsOfWebhooks(me, seller)
	c.call(request{"DELETE", seller + "/members/8", "", me, http.StatusNoContent, 19, 1, members + "/{user_id}"})
}

// callsOfWebhooks are of Mia too, with two webhooks. An event costs one statement where nobody wants it, and two for each webhook that does.
func (c *callCounter) callsOfWebhooks(me, seller string) {
	const hooks, hook, deliveries = "/v1/sellers/{seller_id}/webhooks", "/v1/sellers/{seller_id}/webhooks/{webhook_id}", "/v1/sellers/{seller_id}/webhooks/{webhook_id}/deliveries"
	make1 := request{"POST", seller + "/webhooks", `{"url":"https://systems.example/"}`, me, http.StatusCreated, 15, 1, hooks}
	first := c.call(make1)["webhook_id"]
	c.callUnder("k2", make1)
	path := seller + "/webhooks/" + first
	c.call(request{"GET", seller + "/webhooks", "", me, http.StatusOK, 2, 0, hooks})
	c.call(request{"GET", path, "", me, http.StatusOK, 2, 0, hook})
	c.call(request{"PUT", path, `{"url":"https://systems.example/","state":"active"}`, me, http.StatusOK, 13, 1, hook})
	c.call(request{"POST", path + "/secret", "", me, http.StatusOK, 13, 1, hook + "/secret"})
	event := c.call(request{"POST", path + "/test", "", me, http.StatusAccepted, 12, 1, hook + "/test"})["event_id"]
	c.call(request{"GET", path + "/deliveries", "", me, http.StatusOK, 2, 0, deliveries})
	sql := "UPDATE seller_deliveries SET asked = FALSE"
	if _, err := c.databases.All(0)[0].Writer().ExecContext(c.t.Context(), sql); err != nil {
		c.t.Fatal(err)
	}
	c.call(request{"POST", path + "/deliveries/" + event + "/redelivery", "", me, http.StatusAccepted, 12, 1, deliveries + "/{event_id}/redelivery"})
	c.call(request{"DELETE", path, "", me, http.StatusNoContent, 11, 1, hook})
}
