package catalog_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"sluice/catalog"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
)

// everyRole is all who may ask; none has no token. Support and ops are shoppers to whom a role was granted.
var everyRole = []auth.Role{auth.RoleNone, auth.RoleShopper, auth.RoleService, auth.RoleAdmin, web.RoleSupport, web.RoleOps}

var (
	reviewers = []auth.Role{web.RoleSupport, web.RoleOps}
	people    = []auth.Role{web.RoleSellerMember, web.RoleSellerOwner}
	readers   = append(slices.Clone(people), web.RoleSellerKey)
)

// allowed has the table a second time, literally: a change of who may do what is seen here.
var allowed = map[string][]auth.Role{
	"GET /v1/audit":           {auth.RoleAdmin},
	"GET /v1/me":              {auth.RoleShopper},
	"GET /v1/users/{user_id}": {auth.RoleService, auth.RoleAdmin},
	"PUT /v1/users/{user_id}": {auth.RoleService, auth.RoleAdmin},

	"GET /.well-known/jwks.json":              everyRole,
	"POST /v1/users":                          everyRole,
	"POST /v1/verifications/{challenge_id}":   everyRole,
	"POST /v1/sessions":                       everyRole,
	"POST /v1/tokens":                         everyRole,
	"POST /v1/password_resets":                everyRole,
	"POST /v1/password_resets/{challenge_id}": everyRole,
	"GET /v1/me/sessions":                     {auth.RoleShopper},
	"DELETE /v1/me/sessions":                  {auth.RoleShopper},
	"DELETE /v1/me/sessions/{session_id}":     {auth.RoleShopper},
	"PUT /v1/me/password":                     {auth.RoleShopper},

	"POST /v1/phone_codes":                   everyRole,
	"POST /v1/phone_codes/{challenge_id}":    everyRole,
	"POST /v1/me/phone_codes":                {auth.RoleShopper},
	"POST /v1/me/phone_codes/{challenge_id}": {auth.RoleShopper},
	"POST /v1/me/email_codes":                {auth.RoleShopper},
	"POST /v1/me/email_codes/{challenge_id}": {auth.RoleShopper},
	"GET /v1/me/identities":                  {auth.RoleShopper},

	"GET /v1/providers":                           everyRole,
	"POST /v1/providers/{provider}/flows":         everyRole,
	"POST /v1/providers/{provider}/sessions":      everyRole,
	"POST /v1/me/providers/{provider}/flows":      {auth.RoleShopper},
	"POST /v1/me/providers/{provider}/identities": {auth.RoleShopper},

	"DELETE /v1/me/identities/{identity_id}": {auth.RoleShopper},
	"POST /v1/sessions/{challenge_id}":       everyRole,
	"GET /v1/me/sign_ins":                    {auth.RoleShopper},
	"POST /v1/me/step_up":                    {auth.RoleShopper},
	"GET /v1/me/totp":                        {auth.RoleShopper},
	"POST /v1/me/totp":                       {auth.RoleShopper},
	"POST /v1/me/totp/confirmation":          {auth.RoleShopper},
	"POST /v1/me/totp/removal":               {auth.RoleShopper},
	"POST /v1/me/totp/recovery_codes":        {auth.RoleShopper},
	"GET /v1/users/{user_id}/roles":          {auth.RoleAdmin},
	"PUT /v1/users/{user_id}/roles/{role}":   {auth.RoleAdmin},

	"GET /v1/me/sellers":                           {auth.RoleShopper},
	"POST /v1/sellers":                             {auth.RoleShopper},
	"GET /v1/sellers/{seller_id}":                  everyRole,
	"GET /v1/sellers/{seller_id}/application":      readers,
	"PUT /v1/sellers/{seller_id}/application":      {web.RoleSellerOwner},
	"PUT /v1/sellers/{seller_id}/state":            {auth.RoleAdmin, web.RoleOps},
	"POST /v1/me/sellers":                          {auth.RoleShopper},
	"GET /v1/seller_reviews":                       {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"GET /v1/seller_reviews/{seller_id}":           {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"POST /v1/seller_reviews/{seller_id}/claim":    reviewers,
	"POST /v1/seller_reviews/{seller_id}/decision": reviewers,

	"GET /v1/sellers/{seller_id}/members":              readers,
	"DELETE /v1/sellers/{seller_id}/members/{user_id}": people,
	"GET /v1/sellers/{seller_id}/transfer":             people,
	"PUT /v1/sellers/{seller_id}/transfer":             {web.RoleSellerOwner},
	"DELETE /v1/sellers/{seller_id}/transfer":          people,
	"POST /v1/sellers/{seller_id}/transfer/acceptance": people,
	"GET /v1/sellers/{seller_id}/acts":                 readers,
	"GET /v1/sellers/{seller_id}/api_keys":             {web.RoleSellerOwner},
	"POST /v1/sellers/{seller_id}/api_keys":            {web.RoleSellerOwner},
	"DELETE /v1/sellers/{seller_id}/api_keys/{prefix}": {web.RoleSellerOwner},
	"GET /v1/sellers/{seller_id}/invitations":          {web.RoleSellerOwner},

	"GET /v1/sellers/{seller_id}/webhooks":                                                {web.RoleSellerOwner},
	"POST /v1/sellers/{seller_id}/webhooks":                                               {web.RoleSellerOwner},
	"GET /v1/sellers/{seller_id}/webhooks/{webhook_id}":                                   {web.RoleSellerOwner},
	"PUT /v1/sellers/{seller_id}/webhooks/{webhook_id}":                                   {web.RoleSellerOwner},
	"DELETE /v1/sellers/{seller_id}/webhooks/{webhook_id}":                                {web.RoleSellerOwner},
	"POST /v1/sellers/{seller_id}/webhooks/{webhook_id}/secret":                           {web.RoleSellerOwner},
	"POST /v1/sellers/{seller_id}/webhooks/{webhook_id}/test":                             {web.RoleSellerOwner},
	"GET /v1/sellers/{seller_id}/webhooks/{webhook_id}/deliveries":                        {web.RoleSellerOwner},
	"POST /v1/sellers/{seller_id}/webhooks/{webhook_id}/deliveries/{event_id}/redelivery": {web.RoleSellerOwner},

	"POST /v1/sellers/{seller_id}/invitations":                   {web.RoleSellerOwner},
	"DELETE /v1/sellers/{seller_id}/invitations/{invitation_id}": {web.RoleSellerOwner},

	"GET /v1/categories":                                         everyRole,
	"POST /v1/categories":                                        {auth.RoleAdmin, web.RoleOps},
	"GET /v1/categories/{category_id}":                           everyRole,
	"PUT /v1/categories/{category_id}":                           {auth.RoleAdmin, web.RoleOps},
	"GET /v1/categories/{category_id}/attributes":                everyRole,
	"PUT /v1/categories/{category_id}/attributes/{attribute}":    {auth.RoleAdmin, web.RoleOps},
	"DELETE /v1/categories/{category_id}/attributes/{attribute}": {auth.RoleAdmin, web.RoleOps},
	"GET /v1/brands":                                             everyRole,
	"POST /v1/brands":                                            {auth.RoleAdmin, web.RoleOps},
	"GET /v1/brands/{brand_id}":                                  everyRole,
	"PUT /v1/brands/{brand_id}":                                  {auth.RoleAdmin, web.RoleOps},

	"GET /v1/sellers/{seller_id}/products":                                      readers,
	"POST /v1/sellers/{seller_id}/products":                                     people,
	"GET /v1/sellers/{seller_id}/products/{product_id}":                         readers,
	"PUT /v1/sellers/{seller_id}/products/{product_id}":                         people,
	"PUT /v1/sellers/{seller_id}/products/{product_id}/stage":                   people,
	"PUT /v1/sellers/{seller_id}/products/{product_id}/texts/{locale}":          people,
	"DELETE /v1/sellers/{seller_id}/products/{product_id}/texts/{locale}":       people,
	"POST /v1/sellers/{seller_id}/products/{product_id}/skus":                   people,
	"PUT /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}":           people,
	"GET /v1/sellers/{seller_id}/products/{product_id}/versions":                readers,
	"POST /v1/sellers/{seller_id}/products/{product_id}/restorations":           people,
	"POST /v1/sellers/{seller_id}/products/{product_id}/media":                  people,
	"POST /v1/sellers/{seller_id}/products/{product_id}/media/{media_id}/check": people,
	"GET /v1/media_reviews":                                                     {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"POST /v1/products/{product_id}/media/{media_id}/decision":                  reviewers,
	"GET /v1/product_snapshot":                                                  {auth.RoleService, auth.RoleAdmin},
	"GET /v1/products/{product_id}":                                             everyRole,
	"PUT /v1/products/{product_id}/stage":                                       {auth.RoleAdmin, web.RoleOps},
	"GET /v1/product_reviews":                                                   {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"GET /v1/product_reviews/{product_id}":                                      {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"POST /v1/product_reviews/{product_id}/claim":                               reviewers,
	"POST /v1/product_reviews/{product_id}/decision":                            reviewers,

	"GET /v1/sellers/{seller_id}/offers":                  readers,
	"POST /v1/sellers/{seller_id}/offers":                 people,
	"GET /v1/sellers/{seller_id}/offers/{offer_id}":       readers,
	"PUT /v1/sellers/{seller_id}/offers/{offer_id}":       people,
	"PUT /v1/sellers/{seller_id}/offers/{offer_id}/stage": people,
	"GET /v1/sellers/{seller_id}/offers/{offer_id}/moves": readers,
	"GET /v1/offers":                             everyRole,
	"GET /v1/offers/{offer_id}":                  everyRole,
	"PUT /v1/offers/{offer_id}/stage":            {auth.RoleAdmin, web.RoleOps},
	"GET /v1/offer_reviews":                      {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"GET /v1/offer_reviews/{offer_id}":           {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"POST /v1/offer_reviews/{offer_id}/claim":    reviewers,
	"POST /v1/offer_reviews/{offer_id}/decision": reviewers,

	"GET /v1/markets":                      everyRole,
	"POST /v1/me/quotes":                   {auth.RoleShopper},
	"GET /v1/products/{product_id}/prices": everyRole,
	"GET /v1/price_snapshot":               {auth.RoleService, auth.RoleAdmin},

	"GET /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}":         readers,
	"PUT /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}":         people,
	"GET /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}/changes": readers,

	"GET /v1/me/cart":                         {auth.RoleShopper},
	"DELETE /v1/me/cart":                      {auth.RoleShopper},
	"PUT /v1/me/cart/lines/{sku_id}":          {auth.RoleShopper},
	"DELETE /v1/me/cart/lines/{sku_id}":       {auth.RoleShopper},
	"POST /v1/me/cart/merges":                 {auth.RoleShopper},
	"GET /v1/me/cart/shares":                  {auth.RoleShopper},
	"POST /v1/me/cart/shares":                 {auth.RoleShopper},
	"DELETE /v1/me/cart/shares/{share_token}": {auth.RoleShopper},
	"POST /v1/guest_carts":                    everyRole,
	"GET /v1/guest_cart":                      everyRole,
	"DELETE /v1/guest_cart":                   everyRole,
	"PUT /v1/guest_cart/lines/{sku_id}":       everyRole,
	"DELETE /v1/guest_cart/lines/{sku_id}":    everyRole,
	"GET /v1/shared_carts/{share_token}":      everyRole,

	"GET /v1/sellers/{seller_id}/warehouses":                             readers,
	"POST /v1/sellers/{seller_id}/warehouses":                            people,
	"GET /v1/sellers/{seller_id}/warehouses/{warehouse_id}":              readers,
	"PUT /v1/sellers/{seller_id}/warehouses/{warehouse_id}":              people,
	"GET /v1/sellers/{seller_id}/stock_documents/{source}/{document_id}": readers,
	"PUT /v1/sellers/{seller_id}/stock_documents/{source}/{document_id}": readers,
	"GET /v1/sellers/{seller_id}/stock":                                  readers,
	"GET /v1/sellers/{seller_id}/stock/{sku_id}":                         readers,
	"PUT /v1/sellers/{seller_id}/stock/{sku_id}":                         people,
	"GET /v1/products/{product_id}/stock":                                everyRole,

	"DELETE /v1/me":                        {auth.RoleShopper},
	"GET /v1/me/profile":                   {auth.RoleShopper},
	"PATCH /v1/me/profile":                 {auth.RoleShopper},
	"GET /v1/me/addresses":                 {auth.RoleShopper},
	"POST /v1/me/addresses":                {auth.RoleShopper},
	"GET /v1/me/addresses/{address_id}":    {auth.RoleShopper},
	"PUT /v1/me/addresses/{address_id}":    {auth.RoleShopper},
	"DELETE /v1/me/addresses/{address_id}": {auth.RoleShopper},
	"GET /v1/me/consents":                  {auth.RoleShopper},
	"POST /v1/me/consents":                 {auth.RoleShopper},
	"GET /v1/me/data":                      {auth.RoleShopper},

	"GET /v1/assessments":                           {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"POST /v1/assessments/{assessment_id}/claim":    {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
	"POST /v1/assessments/{assessment_id}/decision": {auth.RoleAdmin, web.RoleSupport, web.RoleOps},
}

// proved are the operations that want a session which was proved lately, literally too.
var proved = []string{
	"POST /v1/sellers/{seller_id}/api_keys", "DELETE /v1/me/identities/{identity_id}", "POST /v1/me/email_codes",
	"POST /v1/me/email_codes/{challenge_id}", "POST /v1/me/phone_codes", "POST /v1/me/phone_codes/{challenge_id}",
	"POST /v1/me/providers/{provider}/flows", "POST /v1/me/providers/{provider}/identities",
	"POST /v1/me/totp", "POST /v1/me/totp/recovery_codes", "POST /v1/me/totp/removal",
	"POST /v1/sellers/{seller_id}/invitations", "POST /v1/sellers/{seller_id}/transfer/acceptance", "PUT /v1/sellers/{seller_id}/transfer",
	"POST /v1/assessments/{assessment_id}/decision", "POST /v1/seller_reviews/{seller_id}/decision", "PUT /v1/sellers/{seller_id}/state",
	"POST /v1/product_reviews/{product_id}/decision", "PUT /v1/products/{product_id}/stage", "POST /v1/products/{product_id}/media/{media_id}/decision",
	"POST /v1/offer_reviews/{offer_id}/decision", "PUT /v1/offers/{offer_id}/stage",
	"POST /v1/sellers/{seller_id}/webhooks", "POST /v1/sellers/{seller_id}/webhooks/{webhook_id}/secret", "PUT /v1/sellers/{seller_id}/webhooks/{webhook_id}",
}

// neededOfKeys has the scope of each operation that API keys may call, a second time too.
var neededOfKeys = map[string]string{
	"GET /v1/sellers/{seller_id}/application": "seller:read",
	"GET /v1/sellers/{seller_id}/members":     "members:read",
	"GET /v1/sellers/{seller_id}/acts":        "members:read",

	"GET /v1/sellers/{seller_id}/products":                       "products:read",
	"GET /v1/sellers/{seller_id}/products/{product_id}":          "products:read",
	"GET /v1/sellers/{seller_id}/products/{product_id}/versions": "products:read",

	"GET /v1/sellers/{seller_id}/offers":                                                      "offers:read",
	"GET /v1/sellers/{seller_id}/offers/{offer_id}":                                           "offers:read",
	"GET /v1/sellers/{seller_id}/offers/{offer_id}/moves":                                     "offers:read",
	"GET /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}":         "products:read",
	"GET /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}/changes": "products:read",

	"GET /v1/sellers/{seller_id}/warehouses":                             "stock:read",
	"GET /v1/sellers/{seller_id}/warehouses/{warehouse_id}":              "stock:read",
	"GET /v1/sellers/{seller_id}/stock_documents/{source}/{document_id}": "stock:read",
	"PUT /v1/sellers/{seller_id}/stock_documents/{source}/{document_id}": "stock:write",
	"GET /v1/sellers/{seller_id}/stock":                                  "stock:read",
	"GET /v1/sellers/{seller_id}/stock/{sku_id}":                         "stock:read",
}

// live are the reads that want a session which lives as of now, literally too: all that shows what is personal.
var live = []string{
	"GET /v1/assessments", "GET /v1/me/addresses", "GET /v1/me/addresses/{address_id}", "GET /v1/me/consents", "GET /v1/me/data", "GET /v1/me/identities", "GET /v1/me/profile",
	"GET /v1/me/sessions", "GET /v1/me/sign_ins", "GET /v1/me/totp", "GET /v1/seller_reviews", "GET /v1/seller_reviews/{seller_id}",
	"GET /v1/sellers/{seller_id}/acts", "GET /v1/sellers/{seller_id}/api_keys", "GET /v1/sellers/{seller_id}/application",
	"GET /v1/sellers/{seller_id}/invitations", "GET /v1/sellers/{seller_id}/members", "GET /v1/sellers/{seller_id}/transfer",
	"GET /v1/offer_reviews", "GET /v1/offer_reviews/{offer_id}", "GET /v1/sellers/{seller_id}/offers", "GET /v1/sellers/{seller_id}/offers/{offer_id}",
	"GET /v1/sellers/{seller_id}/offers/{offer_id}/moves",
	"GET /v1/media_reviews", "GET /v1/product_reviews", "GET /v1/product_reviews/{product_id}", "GET /v1/sellers/{seller_id}/products", "GET /v1/sellers/{seller_id}/products/{product_id}",
	"GET /v1/sellers/{seller_id}/products/{product_id}/versions",
	"GET /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}", "GET /v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}/changes",
	"GET /v1/sellers/{seller_id}/webhooks", "GET /v1/sellers/{seller_id}/webhooks/{webhook_id}", "GET /v1/sellers/{seller_id}/webhooks/{webhook_id}/deliveries",
	"GET /v1/sellers/{seller_id}/warehouses", "GET /v1/sellers/{seller_id}/warehouses/{warehouse_id}", "GET /v1/sellers/{seller_id}/stock_documents/{source}/{document_id}",
	"GET /v1/sellers/{seller_id}/stock", "GET /v1/sellers/{seller_id}/stock/{sku_id}",
}

// needed has the scope of each operation that services may call, a second time too.
var needed = map[string]string{
	"GET /v1/users/{user_id}": "users:read",
	"PUT /v1/users/{user_id}": "users:write",

	"GET /v1/product_snapshot": "products:read",
	"GET /v1/price_snapshot":   "products:read",
}

// call calls an operation as the bearer of a token, in a form that nobody accepts, and returns the status.
func (s *shop) call(o catalog.Allowed, token string) int {
	s.t.Helper()
	names := strings.NewReplacer("{user_id}", "7", "{challenge_id}", strings.Repeat("A", 22), "{session_id}", "ses_0000000000001", "{address_id}", noAddress, "{identity_id}", "idn_0000000000001",
		"{seller_id}", "sel_0000000000015", "{role}", "ops", "{invitation_id}", "inv_0000000000015", "{prefix}", noPrefix, "{provider}", "none", "{assessment_id}", "sign_up.7",
		"{category_id}", noCategory, "{brand_id}", noBrand, "{attribute}", "size", "{webhook_id}", noWebhook, "{event_id}", noEvent,
		"{product_id}", noProduct, "{share_token}", noShare, "{locale}", "en", "{sku_id}", "4096", "{warehouse_id}", noWarehouse, "{source}", "erp-1", "{document_id}", "DN-1", "{offer_id}", noOffer, "{market}", "de")
	r, err := http.NewRequest(o.Method, "http://"+s.node.Addr()+names.Replace(o.Path), strings.NewReader("x"))
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode
}

// TestEveryScopeAtEveryOperation calls each operation with a service's token of each scope.
func TestEveryScopeAtEveryOperation(t *testing.T) {
	t.Parallel()
	s := newShop(t).start()
	for _, o := range catalog.Table() {
		if want := needed[o.Method+" "+o.Path]; o.Scope != want {
			t.Errorf("%s %s: the table says the scope %q, want %q", o.Method, o.Path, o.Scope, want)
		}
		for _, word := range auth.ScopeWords() {
			want := http.StatusForbidden
			if word == o.Scope || o.Roles == "anybody" {
				want = http.StatusBadRequest
			}
			if got := s.call(o, s.token(7, auth.RoleService, word)); got != want {
				t.Errorf("%s %s with %s: %d, want %d", o.Method, o.Path, word, got, want)
			}
		}
	}
}

// as is the token of a user who has a role. Whoever has a granted one, or one in a seller, is a shopper to a token.
func (s *shop) as(role auth.Role) string {
	s.t.Helper()
	if role <= auth.RoleAdmin {
		return s.token(7, role)
	}
	user := 100 + int64(role)
	s.makeUser(user)
	if web.Granted.Has(role) {
		s.grant(user, web.Word(role))
	}
	return s.token(user, auth.RoleShopper)
}

// grant grants a role to a user who is there.
func (s *shop) grant(user int64, role string) {
	s.t.Helper()
	status, _, body := s.ask("PUT", fmt.Sprintf("/v1/users/%d/roles/%s", user, role), s.token(1, auth.RoleAdmin), `{"granted":true,"reason":"a test"}`, "")
	if status != http.StatusNoContent {
		s.t.Fatal(status, body)
	}
}

// passes reports whether who has a role is let pass: the people of sellers are shoppers, as all people are.
func passes(may []auth.Role, role auth.Role) bool {
	person := role == auth.RoleShopper || role > auth.RoleAdmin
	return slices.Contains(may, role) || person && slices.ContainsFunc(may, func(of auth.Role) bool {
		return of == auth.RoleShopper || of == web.RoleSellerMember || of == web.RoleSellerOwner
	})
}

// TestEveryRoleAtEveryOperation calls each operation in each role. Whoever may not is told so before anything else.
func TestEveryRoleAtEveryOperation(t *testing.T) {
	t.Parallel()
	s := newShop(t).start()
	tokens := map[auth.Role]string{}
	for _, role := range everyRole {
		tokens[role] = s.as(role)
	}
	table := catalog.Table()
	if len(table) != len(allowed) {
		t.Fatalf("%d operations, and the test knows %d", len(table), len(allowed))
	}
	var stepUp, living []string
	for _, o := range table {
		if o.Live {
			living = append(living, o.Method+" "+o.Path)
		}
		if o.StepUp {
			stepUp = append(stepUp, o.Method+" "+o.Path)
		}
		may, ok := allowed[o.Method+" "+o.Path]
		if !ok {
			t.Errorf("the test does not know %s %s", o.Method, o.Path)
		}
		for role := auth.RoleShopper; role <= web.RoleSellerKey; role++ {
			if told := o.Roles == "anybody" || slices.Contains(strings.Split(o.Roles, ", "), web.Word(role)); told != slices.Contains(may, role) && len(may) != len(everyRole) {
				t.Errorf("%s %s: the table says %q of %s", o.Method, o.Path, o.Roles, web.Word(role))
			}
		}
		for _, role := range everyRole {
			want := http.StatusForbidden
			switch {
			case passes(may, role):
				want = http.StatusBadRequest // for its body, or for its missing key
			case role == auth.RoleNone:
				want = http.StatusUnauthorized
			}
			if got := s.call(o, tokens[role]); got != want {
				t.Errorf("%s %s as %s: %d, want %d", o.Method, o.Path, web.Word(role), got, want)
			}
		}
	}
	if slices.Sort(living); !slices.Equal(living, slices.Sorted(slices.Values(live))) {
		t.Errorf("living sessions are wanted by %q, want %q", living, live)
	}
	if slices.Sort(stepUp); !slices.Equal(stepUp, slices.Sorted(slices.Values(proved))) {
		t.Errorf("proved sessions are wanted by %q, want %q", stepUp, proved)
	}
}

// TestOperationsAreThoseOfTheDocument compares what is generated with the document: no tag was forgotten.
func TestOperationsAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var documented, served []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	for _, o := range catalog.Table() {
		served = append(served, o.Method+" "+o.Path)
	}
	slices.Sort(documented)
	slices.Sort(served)
	if !slices.Equal(documented, served) {
		t.Errorf("documented: %q\nserved:     %q", documented, served)
	}
}
