package catalog_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/catalog"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/contracttest"
	"sluice/core/shard"
)

// invitationForm is that of a code of an invitation.
var invitationForm = regexp.MustCompile(`(?m)^[A-Za-z0-9_-]{43}$`)

// newcomer registers somebody who signs in by an address.
func (c *contract) newcomer(name string) (token string, user int64) {
	c.t.Helper()
	email := name + "@example.org"
	asked := c.write("POST", "/v1/users", "", name, registration(email, goodPassword), "ok")
	made := c.write("POST", "/v1/verifications/"+c.text(asked, "challenge_id"), "", name, fmt.Sprintf(`{"code":%q}`, c.code(email, "verify_email")), "ok")
	user, err := strconv.ParseInt(c.text(made, "user_id"), 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.text(c.write("POST", "/v1/sessions", "", name, signIn(email, goodPassword), "ok"), "access_token"), user
}

// sellerOf is an opened seller of an owner.
func (c *contract) sellerOf(owner string) string {
	c.t.Helper()
	id := c.text(c.write("POST", "/v1/sellers", owner, "mine", application, "ok"), "seller_id")
	c.everyValue("UPDATE sellers__ SET state = 'open' WHERE state = 'applied'")
	return id
}

func inviting(email, role string) string {
	return fmt.Sprintf(`{"email":%q,"role":%q,"locale":"en"}`, email, role)
}

func accepting(code string) string { return fmt.Sprintf(`{"code":%q}`, code) }

// exercisePeople goes the way of the people of a seller, beside another seller.
func (c *contract) exercisePeople() {
	opal, opalID := c.newcomer("opal")
	mine := c.sellerOf(opal)
	path := "/v1/sellers/" + mine
	tim, timID := c.newcomer("tim")
	eve, _ := c.newcomer("eva")
	other := c.sellerOf(eve)

	c.write("POST", path+"/invitations", c.token(opalID, auth.RoleShopper), "i", inviting("tim@example.org", "member"), "step_up_required")
	c.refusedInvitations(opal, path)
	first := c.write("POST", path+"/invitations", opal, "i", inviting("tim@example.org", "member"), "ok")
	again := c.write("POST", path+"/invitations", opal, "i", inviting("tim@example.org", "member"), "ok")
	if first.Body != again.Body || first.JSON["email"] != "tim@example.org" || first.JSON["role"] != "member" {
		c.t.Errorf("invited: %s, again: %s", first.Body, again.Body)
	}
	c.write("POST", path+"/invitations", opal, "i", inviting("tim@example.org", "owner"), "mismatch")
	c.write("POST", path+"/invitations", opal, "j", inviting("TIM@example.org", "owner"), "wrong_state")
	for _, wrong := range []string{inviting("tim", "member"), inviting("tim@example.org", "boss"), `{"email":"tim@example.org","role":"member"}`, strings.Replace(inviting("tim@example.org", "member"), `"en"`, `"EN"`, 1)} {
		c.shoot(shot{Method: "POST", Path: path + "/invitations", Token: opal, Body: wrong, Want: "malformed", Undocumented: true})
	}
	list := c.shoot(shot{Method: "GET", Path: path + "/invitations", Token: opal, Want: "ok"})
	if strings.Count(list.Body, "tim@example.org") != 1 {
		c.t.Errorf("the invitations are %s", list.Body)
	}
	code := c.found("tim@example.org", "invitation", "", invitationForm)
	c.write("POST", "/v1/me/sellers", eve, "a", accepting(code), "invitation_refused")
	c.write("POST", "/v1/me/sellers", tim, "a", accepting(strings.Repeat("A", 43)), "invitation_refused")
	c.write("POST", "/v1/me/sellers", tim, "a", accepting(code), "ok")
	joined := c.write("POST", "/v1/me/sellers", tim, "a", accepting(code), "ok")
	if joined.JSON["role"] != "member" || joined.JSON["seller_id"] != mine {
		c.t.Errorf("joined: %s", joined.Body)
	}
	c.write("POST", "/v1/me/sellers", tim, "b", accepting(code), "invitation_refused")
	c.write("DELETE", path+"/invitations/"+c.text(first, "invitation_id"), opal, "w", "", "wrong_state")
	c.write("POST", path+"/invitations", opal, "o", inviting("other@example.org", "member"), "ok")
	c.write("POST", "/v1/me/sellers", tim, "a", accepting(c.found("other@example.org", "invitation", "", invitationForm)), "mismatch")
	c.write("POST", path+"/invitations", opal, "back", inviting("tim@example.org", "owner"), "ok")
	second := c.found("tim@example.org", "invitation", code, invitationForm)
	c.write("POST", "/v1/me/sellers", tim, "c", accepting(second), "wrong_state")

	members := c.shoot(shot{Method: "GET", Path: path + "/members", Token: tim, Want: "ok"})
	if strings.Count(members.Body, `"user_id"`) != 2 || !strings.Contains(members.Body, fmt.Sprintf(`"user_id":"%d"`, timID)) {
		c.t.Errorf("the members are %s", members.Body)
	}
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + mine + "/application", Token: tim, Want: "ok"})
	c.everywhere("UPDATE sessions__ SET proved_at = NOW(3)") // however slow the machine is
	c.exerciseTenants(mine, tim, eve)
	c.exerciseTransfer(path, opal, tim, opalID, timID)
	c.write("POST", "/v1/me/sellers", tim, "d", accepting(second), "invitation_refused") // it went with who gave the seller away
	back := c.write("POST", path+"/invitations", opal, "anew", inviting("tim@example.org", "owner"), "ok")
	third := c.found("tim@example.org", "invitation", second, invitationForm)
	c.write("DELETE", fmt.Sprintf("%s/members/%d", path, opalID), opal, "last", "", "wrong_state")
	c.write("DELETE", path+"/members/77", opal, "none", "", "unknown_member")
	c.write("DELETE", path+"/members/77", opal, "none", "", "unknown_member")
	for range 2 {
		c.write("DELETE", fmt.Sprintf("%s/members/%d", path, timID), opal, "out", "", "ok")
	}
	c.write("DELETE", fmt.Sprintf("%s/members/%d", path, opalID), opal, "out", "", "mismatch")
	c.shoot(shot{Method: "GET", Path: path + "/members", Token: tim, Want: "unknown_seller"})
	c.found("tim@example.org", "member_removed", "", regexp.MustCompile("Mia Miller"))
	c.found("opal@example.org", "member_joined", "", regexp.MustCompile("Mia Miller"))
	c.write("POST", "/v1/me/sellers", tim, "d", accepting(third), "ok")
	for range 2 {
		c.write("DELETE", fmt.Sprintf("%s/members/%d", path, timID), tim, "leaves", "", "ok")
	}
	c.write("DELETE", path+"/invitations/"+c.text(back, "invitation_id"), opal, "w", "", "wrong_state")
	c.write("DELETE", path+"/invitations/inv_0000000000015", opal, "w", "", "unknown_invitation")
	waiting := c.write("POST", path+"/invitations", opal, "waits", inviting("tim@example.org", "member"), "ok")
	last := c.found("tim@example.org", "invitation", third, invitationForm)

	page := c.shoot(shot{Method: "GET", Path: path + "/acts?limit=2", Token: opal, Want: "ok"})
	c.shoot(shot{Method: "GET", Path: path + "/acts?cursor=" + c.text(page, "next_cursor"), Token: opal, Want: "ok"})
	for _, query := range []string{"?limit=0", "?cursor=x", "?cursor=0", "?cursor=01"} {
		c.shoot(shot{Method: "GET", Path: path + "/acts" + query, Token: opal, Want: "malformed", Undocumented: true})
	}
	acts := c.shoot(shot{Method: "GET", Path: "/v1/audit?object=seller:" + mine, Token: c.admin, Want: "ok"})
	for _, want := range []string{`"act":"seller.invite"`, `"act":"seller.join"`, `"act":"seller.remove"`, `"act":"seller.leave"`} {
		if !strings.Contains(acts.Body, want) {
			c.t.Errorf("%s is not in %s", want, acts.Body)
		}
	}
	shots := c.peopleShots(eve, other) // whose limit has room for them
	c.exerciseFormsOf(shots, other)
	c.exerciseForm(shot{Method: "POST", Path: "/v1/me/sellers", Token: tim, Body: accepting(last)})
	uma, _ := c.newcomer("uma")
	hers := c.sellerOf(uma)
	offers := c.transferShots(uma, hers)
	c.exerciseFormsOf(offers, hers)
	ina, inaID := c.newcomer("ina")
	inas := c.sellerOf(ina)
	c.exerciseAPIKeys(inas, ina, inaID)
	keys := c.keyShots(ina, inas)
	c.exerciseFormsOf(keys, inas)
	kim, kimID := c.newcomer("kim")
	kims := c.sellerOf(kim)
	c.exerciseWebhooks(kims, kim, kimID)
	leo, _ := c.newcomer("leo")
	leos := c.sellerOf(leo)
	mia, _ := c.newcomer("mio")
	mias := c.sellerOf(mia)
	some, others := c.webhookShots(leo, leos)[:5], c.webhookShots(mia, mias)[5:] // whose limits have room for them
	c.exerciseFormsOf(some, leos)
	c.exerciseFormsOf(others, mias)
	c.exerciseScopes(hers, uma, "members:read")
	for range 2 {
		c.write("DELETE", path+"/invitations/"+c.text(waiting, "invitation_id"), opal, "w", "", "ok")
	}
	c.write("POST", "/v1/sellers/"+other+"/invitations", eve, "tim", inviting("tim@example.org", "member"), "ok")
	open := c.found("tim@example.org", "invitation", last, invitationForm)
	c.sellers = append(c.sellers, append(shots, shot{Method: "POST", Path: "/v1/me/sellers", Token: tim, Body: accepting(open)})...)
	c.sellers = slices.Concat(c.sellers, offers, keys, some, others)
}

// noPrefix is that of no key.
const noPrefix = "000000000000"

func keyFor(scope string) string {
	return fmt.Sprintf(`{"name":"warehouse","scopes":[%q],"days":30}`, scope)
}

// exerciseAPIKeys makes keys, asks by them, and revokes them.
func (c *contract) exerciseAPIKeys(id, owner string, ownerID int64) {
	c.t.Helper()
	keys := "/v1/sellers/" + id + "/api_keys"
	c.write("POST", keys, c.token(ownerID, auth.RoleShopper), "k", keyFor("seller:read"), "step_up_required")
	for _, wrong := range []string{
		keyFor("seller:write"), strings.Replace(keyFor("seller:read"), "30", "367", 1), strings.Replace(keyFor("seller:read"), "30", "0", 1),
		strings.Replace(keyFor("seller:read"), "warehouse", "", 1), `{"name":"x","scopes":[],"days":1}`, `{"name":"x","scopes":["seller:read","seller:read"],"days":1}`,
	} {
		c.shoot(shot{Method: "POST", Path: keys, Token: owner, Body: wrong, Want: "malformed", Undocumented: true})
	}
	made := c.write("POST", keys, owner, "k", keyFor("seller:read"), "ok")
	if again := c.write("POST", keys, owner, "k", keyFor("seller:read"), "ok"); again.Body != made.Body {
		c.t.Error("another key under the same Idempotency-Key")
	}
	c.write("POST", keys, owner, "k", keyFor("members:read"), "mismatch")
	key, prefix := c.text(made, "key"), c.text(made, "prefix")
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/application", Token: key, Want: "ok"})
	c.everyValue("UPDATE sellers__ SET state = 'closed' WHERE state = 'open'")
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/application", Token: key, Want: "unknown_seller"})
	c.everyValue("UPDATE sellers__ SET state = 'open' WHERE state = 'closed'")
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/members", Token: key, Want: "forbidden"})
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/application", Token: key[:len(key)-1], Want: "unauthorized"})
	c.shoot(shot{Method: "GET", Path: "/v1/me", Token: key, Want: "forbidden"})
	for _, other := range c.opened(id) {
		c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + other + "/application", Token: key, Want: "unknown_seller"})
	}
	list := c.shoot(shot{Method: "GET", Path: keys, Token: owner, Want: "ok"})
	if strings.Count(list.Body, prefix) != 1 || strings.Contains(list.Body, key) || !strings.Contains(list.Body, `"last_used_at"`) {
		c.t.Errorf("the keys are %s", list.Body)
	}
	c.found("ina@example.org", "api_key_made", "", regexp.MustCompile("Mia Miller"))
	for n := range 19 {
		c.write("POST", keys, owner, fmt.Sprint("many", n), keyFor("seller:read"), "ok")
	}
	c.write("POST", keys, owner, "many19", keyFor("seller:read"), "wrong_state")
	c.write("POST", keys, owner, "k", keyFor("seller:read"), "ok")
	for range 2 {
		c.write("DELETE", keys+"/"+prefix, owner, "r", "", "ok")
	}
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/application", Token: key, Want: "unauthorized"})
	c.write("POST", keys, owner, "k", keyFor("seller:read"), "mismatch")
	c.write("DELETE", keys+"/"+noPrefix, owner, "n", "", "unknown_key")
	c.shoot(shot{Method: "DELETE", Path: keys + "/" + strings.ToUpper(prefix) + "0", Token: owner, Want: "malformed", Undocumented: true})
	acts := c.shoot(shot{Method: "GET", Path: "/v1/audit?act=seller.make_key", Token: c.admin, Want: "ok"})
	if strings.Count(acts.Body, `"act":"seller.make_key"`) != 20 || strings.Contains(acts.Body, key) {
		c.t.Errorf("the acts are %s", acts.Body)
	}
}

// opened are the sellers that a key of another one must not read.
func (c *contract) opened(but string) (all []string) {
	c.t.Helper()
	for _, p := range c.databases().All(shard.Values) {
		err := db.Rows(c.t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
			var id ids.Seller
			err := row.Scan(&id)
			if id.String() != but {
				all = append(all, id.String())
			}
			return err
		}, "SELECT seller_id FROM sellers__")
		if err != nil {
			c.t.Fatal(err)
		}
	}
	if len(all) < 2 {
		c.t.Fatal("there is no other seller")
	}
	return all
}

// exerciseScopes calls every operation by a key with a scope.
func (c *contract) exerciseScopes(id, owner, scope string) {
	c.t.Helper()
	key := c.text(c.write("POST", "/v1/sellers/"+id+"/api_keys", owner, "scope", keyFor(scope), "ok"), "key")
	for _, o := range catalog.Table() {
		want := http.StatusForbidden
		if o.KeyScope == scope || o.Roles == "anybody" {
			want = http.StatusBadRequest
		}
		if got := c.call(o, key); got != want || o.KeyScope != neededOfKeys[o.Method+" "+o.Path] {
			c.t.Errorf("%s %s by a key for %s: %d, want %d; the table says %q", o.Method, o.Path, scope, got, want, o.KeyScope)
		}
	}
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/members", Token: key, Want: "ok"})
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/acts", Token: key, Want: "ok"})
}

// keyShots are requests of all operations about the keys of a seller, by an owner.
func (c *contract) keyShots(owner, id string) []shot {
	path := "/v1/sellers/" + id + "/api_keys"
	return []shot{
		{Method: "GET", Path: path, Token: owner},
		{Method: "POST", Path: path, Token: owner, Body: keyFor("seller:read")},
		{Method: "DELETE", Path: path + "/" + noPrefix, Token: owner},
	}
}

// exerciseTransfer gives a seller to a member, and back.
func (c *contract) exerciseTransfer(path, owner, member string, ownerID, memberID int64) {
	c.t.Helper()
	transfer := path + "/transfer"
	to := func(user int64) string { return fmt.Sprintf(`{"user_id":"%d"}`, user) }
	c.shoot(shot{Method: "GET", Path: transfer, Token: member, Want: "unknown_offer"})
	c.write("PUT", transfer, c.token(ownerID, auth.RoleShopper), "o", to(memberID), "step_up_required")
	c.write("POST", transfer+"/acceptance", c.token(memberID, auth.RoleShopper), "o", "", "step_up_required")
	c.write("PUT", transfer, owner, "o", to(77), "unknown_member")
	c.write("PUT", transfer, owner, "o", to(ownerID), "wrong_state")
	first := c.write("PUT", transfer, owner, "o", to(memberID), "ok")
	again := c.write("PUT", transfer, owner, "p", to(memberID), "ok")
	shown := c.shoot(shot{Method: "GET", Path: transfer, Token: member, Want: "ok"})
	if first.Body != again.Body || shown.Body != first.Body || first.JSON["to"] != fmt.Sprint(memberID) {
		c.t.Errorf("offered: %s, again: %s, shown: %s", first.Body, again.Body, shown.Body)
	}
	c.found("tim@example.org", "owner_offered", "", regexp.MustCompile("Mia Miller"))
	for range 2 {
		c.write("DELETE", transfer, member, "d", "", "ok")
	}
	c.write("POST", transfer+"/acceptance", member, "a", "", "unknown_offer")
	c.write("PUT", transfer, owner, "q", to(memberID), "ok")
	c.write("POST", transfer+"/acceptance", owner, "a", "", "unknown_offer")
	c.everyValue("UPDATE sellers__ SET state = 'closed' WHERE state = 'open'")
	c.write("POST", transfer+"/acceptance", member, "a", "", "wrong_state")
	c.everyValue("UPDATE sellers__ SET state = 'open' WHERE state = 'closed'")
	for range 2 {
		if got := c.write("POST", transfer+"/acceptance", member, "a", "", "ok"); got.JSON["role"] != "owner" {
			c.t.Errorf("accepted: %s", got.Body)
		}
	}
	c.found("opal@example.org", "owner_changed", "", regexp.MustCompile("Mia Miller"))
	c.write("PUT", transfer, owner, "r", to(memberID), "forbidden")
	c.write("PUT", transfer, member, "back", to(ownerID), "ok")
	c.write("POST", transfer+"/acceptance", owner, "back", "", "ok")
}

// transferShots are requests of all operations by which a seller is given away, by an owner.
func (c *contract) transferShots(owner, id string) []shot {
	path := "/v1/sellers/" + id + "/transfer"
	return []shot{
		{Method: "GET", Path: path, Token: owner},
		{Method: "PUT", Path: path, Token: owner, Body: `{"user_id":"77"}`},
		{Method: "DELETE", Path: path, Token: owner},
		{Method: "POST", Path: path + "/acceptance", Token: owner},
	}
}

// refusedInvitations asks processes of the shop that send no e-mail, and none beyond those that were sent.
func (c *contract) refusedInvitations(owner, path string) {
	c.t.Helper()
	s := shot{Method: "POST", Path: path + "/invitations", Token: owner, Body: inviting("tim@example.org", "member")}
	ask, stop := c.silent()
	ask("invite", s)
	stop()
	cfg := c.cfg
	cfg.Messages.PerDay = 1
	node, err := catalog.Start(c.t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	s.Want = "too_many_messages"
	contracttest.Open(c.t, document, node.Addr(), c.http).Shoot(c.t, s)
	c.document.Saw("invite", s.Want)
	if err := node.Shutdown(c.t.Context()); err != nil {
		c.t.Error(err)
	}
}

// peopleShots are requests of all operations for the people of a seller, by an owner.
func (c *contract) peopleShots(owner, id string) []shot {
	path := "/v1/sellers/" + id
	return []shot{
		{Method: "GET", Path: path + "/members", Token: owner},
		{Method: "DELETE", Path: path + "/members/77", Token: owner},
		{Method: "GET", Path: path + "/invitations", Token: owner},
		{Method: "POST", Path: path + "/invitations", Token: owner, Body: inviting("more@example.org", "member")},
		{Method: "DELETE", Path: path + "/invitations/inv_0000000000015", Token: owner},
		{Method: "GET", Path: path + "/acts", Token: owner},
	}
}

// exerciseTenants walks every operation for the people of sellers: as a member, who may not do what owners may, and as the owner of
// another seller, to whom there is no such seller.
func (c *contract) exerciseTenants(id, member, stranger string) {
	c.t.Helper()
	roles := map[string]string{}
	for _, o := range catalog.Table() {
		if strings.Contains(o.Roles, "seller_") {
			roles[o.Method+" "+o.Path] = o.Roles
		}
	}
	operation := strings.NewReplacer(id, "{seller_id}", "/77", "/{user_id}", "inv_0000000000015", "{invitation_id}", noPrefix, "{prefix}", noWebhook, "{webhook_id}", noEvent, "{event_id}",
		noProduct, "{product_id}", noOffer, "{offer_id}", "/texts/en", "/texts/{locale}", "/skus/4096", "/skus/{sku_id}", "/prices/de", "/prices/{market}", noMedia, "{media_id}",
		noWarehouse, "{warehouse_id}", "/stock/4096", "/stock/{sku_id}", "/erp-1/DN-1", "/{source}/{document_id}")
	for _, s := range slices.Concat(c.sellerShots(reviewed{}, id)[2:4], c.peopleShots("", id), c.transferShots("", id), c.keyShots("", id), c.webhookShots("", id), goodsOf(id, noProduct, noCategory), stockOf(id, noWarehouse, "4096"), pricesOf(id, noProduct, "4096"), offersOf(id, noOffer, "4096")) {
		of := s.Method + " " + operation.Replace(s.Path)
		if roles[of] == "seller_owner" {
			s.Token, s.Want = member, "forbidden"
			c.shoot(s)
		}
		s.Token, s.Want = stranger, "unknown_seller"
		c.shoot(s)
		delete(roles, of)
	}
	if len(roles) > 0 {
		c.t.Errorf("nobody tries what other sellers may do: %v", roles)
	}
}
