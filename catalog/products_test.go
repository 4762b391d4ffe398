package catalog_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/auth"
	"sluice/core/local/contracttest"
	"sluice/core/shard"
)

const (
	noCategory = "cat_0000000000001"
	noBrand    = "brd_0000000000001"
)

// change sends a change of what has a version.
func (c *contract) change(method, path, token, key, version, body, want string) contracttest.Answer {
	c.t.Helper()
	h := http.Header{"Idempotency-Key": {key}, "If-Match": {version}}
	if version == "" {
		delete(h, "If-Match")
	}
	return c.shoot(shot{Method: method, Path: path, Token: token, Header: h, Body: body, Want: want, Undocumented: version == ""})
}

// keepers are who keeps the tree: ops by a role that was granted, and an admin.
func (c *contract) keepers() (ops, admin string) {
	return c.token(opsOfProducts, auth.RoleShopper), c.admin
}

const opsOfProducts = 133

// exerciseProducts makes a tree and brands.
func (c *contract) exerciseProducts() {
	c.t.Helper()
	c.makeUser(opsOfProducts)
	c.grant(opsOfProducts, "ops")
	clothes := c.exerciseCategories()
	c.exerciseAttributes(clothes)
	brand := c.exerciseBrands()
	c.exerciseProductForms(clothes, brand)
}

func (c *contract) exerciseCategories() (clothes string) {
	c.t.Helper()
	ops, admin := c.keepers()
	made := c.write("POST", "/v1/categories", ops, "c1", `{"names":{"en":"Clothes","de":"Kleidung"}}`, "ok")
	again := c.write("POST", "/v1/categories", ops, "c1", `{"names":{"de":"Kleidung","en":"Clothes"}}`, "ok")
	c.write("POST", "/v1/categories", ops, "c1", `{"names":{"en":"Clothing"}}`, "mismatch")
	clothes = c.text(made, "category_id")
	if again.Body != made.Body || made.Header.Get("Etag") != `"1"` {
		c.t.Errorf("made %s, and again %s", made.Body, again.Body)
	}
	c.write("POST", "/v1/categories", ops, "c2", `{"names":{"fr":"Vêtements","de":"KLEIDUNG"}}`, "name_taken")
	c.write("POST", "/v1/categories", ops, "c3", `{"parent_id":"`+noCategory+`","names":{"en":"x"}}`, "unknown_category")
	at := clothes
	for depth := 2; depth <= 8; depth++ {
		body := fmt.Sprintf(`{"parent_id":%q,"position":%d,"names":{"en":"Level %d"}}`, at, 10-depth, depth)
		at = c.text(c.write("POST", "/v1/categories", admin, fmt.Sprint("d", depth), body, "ok"), "category_id")
	}
	c.write("POST", "/v1/categories", admin, "d9", fmt.Sprintf(`{"parent_id":%q,"names":{"en":"Level 9"}}`, at), "too_many")
	shown := c.shoot(shot{Method: "GET", Path: "/v1/categories/" + at, Want: "ok"})
	if path, _ := shown.JSON["path"].([]any); len(path) != 8 || shown.JSON["depth"] != 8.0 || shown.JSON["usable"] != true {
		c.t.Errorf("the deepest is %s", shown.Body)
	}
	c.exerciseMove(clothes, at)
	list := func(query, want string) contracttest.Answer {
		c.t.Helper()
		return c.shoot(shot{Method: "GET", Path: "/v1/categories" + query, Want: want})
	}
	first := list("?deep=true&limit=5&parent_id="+clothes, "ok")
	rest := list("?deep=true&limit=5&parent_id="+clothes+"&cursor="+c.text(first, "next_cursor"), "ok")
	if got := strings.Count(first.Body, `"depth":`) + strings.Count(rest.Body, `"depth":`); got != 7 || strings.Contains(rest.Body, "next_cursor") {
		c.t.Errorf("%d are below: %s, %s", got, first.Body, rest.Body)
	}
	if top := list("", "ok"); strings.Count(top.Body, `"depth":1`) != 1 || strings.Contains(top.Body, `"depth":2`) {
		c.t.Errorf("at the top are %s", top.Body)
	}
	list("?cursor="+at, "malformed")
	list("?parent_id="+noCategory, "unknown_category")
	c.shoot(shot{Method: "GET", Path: "/v1/categories?deep=yes", Want: "malformed", Undocumented: true})
	return clothes
}

// exerciseMove tries what makes no tree, and archives.
func (c *contract) exerciseMove(top, deepest string) {
	c.t.Helper()
	ops, _ := c.keepers()
	path := "/v1/categories/" + top
	to := func(parent, state string) string {
		return fmt.Sprintf(`{"parent_id":%q,"position":3,"state":%q,"names":{"en":"Clothes","de":"Kleidung"}}`, parent, state)
	}
	c.change("PUT", path, ops, "m1", `"1"`, to(deepest, "active"), "category_circle")
	c.change("PUT", path, ops, "m1", `"1"`, to(top, "active"), "category_circle")
	c.change("PUT", path, ops, "m1", `"1"`, to(noCategory, "active"), "unknown_category")
	c.change("PUT", path, ops, "m1", "", to(deepest, "active"), "if_match_missing")
	const archive = `{"position":3,"state":"archived","names":{"en":"Clothes","de":"Kleider"}}`
	c.change("PUT", path, ops, "m2", `"1"`, archive, "ok")
	written := c.change("PUT", path, ops, "m2", `"1"`, archive, "ok").Header.Get("Read-After")
	c.change("PUT", path, ops, "m2", `"1"`, to(deepest, "active"), "mismatch")
	c.change("PUT", path, ops, "m3", `"1"`, archive, "changed_since")
	shown := c.shoot(shot{Method: "GET", Path: "/v1/categories/" + deepest, Want: "ok", Header: http.Header{"Read-After": {written}}})
	if shown.JSON["usable"] != false || !strings.Contains(shown.Body, "Kleider") {
		c.t.Errorf("below an archived one: %s", shown.Body)
	}
	other := c.text(c.write("POST", "/v1/categories", ops, "m4", `{"names":{"en":"Shoes"}}`, "ok"), "category_id")
	c.change("PUT", "/v1/categories/"+other, ops, "m5", `"1"`, fmt.Sprintf(`{"parent_id":%q,"position":0,"state":"active","names":{"en":"Shoes"}}`, deepest), "too_many")
	c.change("PUT", "/v1/categories/"+other, ops, "m6", `"1"`, `{"position":0,"state":"active","names":{"en":"clothes"}}`, "name_taken")
	c.everyProduct("DELETE FROM categories__ WHERE version = 1 AND parent_id IS NULL")
	c.everyProduct("DELETE FROM category_names__ WHERE name = 'Shoes'")
	c.everyProduct("UPDATE category_tree__ SET revision = revision + 1")
	c.change("PUT", path, ops, "m7", `"2"`, strings.Replace(archive, "archived", "active", 1), "ok")
	acts := c.shoot(shot{Method: "GET", Path: "/v1/audit?object=category:" + top, Token: c.admin, Want: "ok"})
	if strings.Count(acts.Body, `"act":"category.change"`) != 2 || !strings.Contains(acts.Body, `"actor":"ops:133"`) || !strings.Contains(acts.Body, `{"name":"name.de","before":"Kleidung","after":"Kleider"}`) {
		c.t.Errorf("the acts are %s", acts.Body)
	}
}

func (c *contract) exerciseAttributes(category string) {
	c.t.Helper()
	ops, _ := c.keepers()
	path := "/v1/categories/" + category + "/attributes/"
	const (
		size   = `{"kind":"number","unit":"cm","required":true,"names":{"en":"Length"}}`
		colour = `{"kind":"choice","required":false,"names":{"en":"Colour"},"choices":[{"code":"red","names":{"en":"Red"}},{"code":"blue","names":{"en":"Blue"}}]}`
	)
	c.change("PUT", path+"size", ops, "a1", `"3"`, size, "ok")
	c.change("PUT", path+"size", ops, "a1", `"3"`, size, "ok")
	c.change("PUT", path+"size", ops, "a1", `"3"`, colour, "mismatch")
	c.change("PUT", path+"colour", ops, "a2", `"3"`, colour, "changed_since")
	c.change("PUT", path+"colour", ops, "a2", "", colour, "if_match_missing")
	c.change("PUT", path+"colour", ops, "a2", `"4"`, colour, "ok")
	c.change("PUT", path+"colour", ops, "a3", `"5"`, strings.Replace(colour, `{"code":"red","names":{"en":"Red"}},`, "", 1), "wrong_state")
	c.change("PUT", path+"size", ops, "a4", `"5"`, strings.Replace(size, "cm", "m", 1), "wrong_state")
	below := c.shoot(shot{Method: "GET", Path: "/v1/categories?parent_id=" + category, Want: "ok"})
	data, _ := below.JSON["data"].([]any)
	child, _ := data[0].(map[string]any)
	childPath := fmt.Sprint("/v1/categories/", child["category_id"], "/attributes")
	c.change("PUT", childPath+"/size", ops, "a5", `"1"`, size, "attribute_taken")
	c.change("PUT", childPath+"/sleeves", ops, "a6", `"1"`, `{"kind":"boolean","required":false,"names":{"en":"Sleeves"}}`, "ok")
	c.change("PUT", path+"sleeves", ops, "a7", `"5"`, `{"kind":"text","required":false,"names":{"en":"Sleeves"}}`, "attribute_taken")
	inherited := c.shoot(shot{Method: "GET", Path: childPath, Want: "ok"})
	if strings.Count(inherited.Body, `"required":`) != 3 || strings.Count(inherited.Body, category) != 2 || inherited.Header.Get("Etag") != `"2"` || !strings.Contains(inherited.Body, `"code":"red"`) {
		c.t.Errorf("inherited are %s", inherited.Body)
	}
	c.exerciseManyAttributes()
	c.change("DELETE", childPath+"/sleeves", ops, "a8", `"1"`, "", "changed_since")
	c.change("DELETE", childPath+"/size", ops, "a8", `"2"`, "", "unknown_attribute")
	c.change("DELETE", childPath+"/sleeves", ops, "a8", "", "", "if_match_missing")
	c.change("DELETE", childPath+"/sleeves", ops, "a9", `"2"`, "", "ok")
	c.change("DELETE", childPath+"/sleeves", ops, "a9", `"2"`, "", "ok")
	c.change("DELETE", childPath+"/sleeves", ops, "a9", `"3"`, "", "mismatch")
	for _, change := range [][2]string{
		{`"choice"`, `"colour"`},
		{`"Colour"`, `""`},
		{`"en":"Colour"`, `"english":"Colour"`},
		{`"red"`, `"Red"`},
		{`"choices":[`, `"choices":[7,`},
		{`"required":false`, `"required":"no"`},
		{`{"kind"`, `{"unit":"","kind"`},
	} {
		c.shoot(shot{Method: "PUT", Path: path + "colour", Token: c.admin, Body: strings.Replace(colour, change[0], change[1], 1), Want: "malformed", Undocumented: true, Header: http.Header{"If-Match": {`"5"`}}})
	}
	for _, body := range []string{ // what no schema can tell
		strings.Replace(colour, `"blue"`, `"red"`, 1), strings.Replace(size, "number", "text", 1), strings.Replace(size, "number", "choice", 1), strings.Replace(colour, "choice", "text", 1),
	} {
		c.shoot(shot{Method: "PUT", Path: path + "colour", Token: c.admin, Body: body, Want: "malformed", Header: http.Header{"If-Match": {`"5"`}}})
	}
	c.shoot(shot{Method: "PUT", Path: path + "Size", Token: c.admin, Body: size, Want: "malformed", Undocumented: true, Header: http.Header{"If-Match": {`"5"`}}})
	c.shoot(shot{Method: "DELETE", Path: path + "Size", Token: c.admin, Want: "malformed", Undocumented: true, Header: http.Header{"If-Match": {`"5"`}}})
}

// exerciseManyAttributes gives a category as many attributes as one may have, and moves another one with some below it.
func (c *contract) exerciseManyAttributes() {
	c.t.Helper()
	_, admin := c.keepers()
	full := c.text(c.write("POST", "/v1/categories", admin, "f1", `{"names":{"en":"Full"}}`, "ok"), "category_id")
	other := c.text(c.write("POST", "/v1/categories", admin, "f2", `{"names":{"en":"Other"}}`, "ok"), "category_id")
	const text = `{"kind":"text","required":false,"names":{"en":"Text"}}`
	for i := 1; i <= 50; i++ {
		c.change("PUT", fmt.Sprintf("/v1/categories/%s/attributes/a%d", full, i), admin, fmt.Sprint("f", i), fmt.Sprintf(`"%d"`, i), text, "ok")
	}
	c.change("PUT", "/v1/categories/"+full+"/attributes/a51", admin, "f51", `"51"`, text, "too_many")
	c.change("PUT", "/v1/categories/"+other+"/attributes/a1", admin, "g1", `"1"`, text, "ok")
	move := fmt.Sprintf(`{"parent_id":%q,"position":0,"state":"active","names":{"en":"Other"}}`, full)
	c.change("PUT", "/v1/categories/"+other, admin, "g2", `"2"`, move, "too_many")
	c.change("DELETE", "/v1/categories/"+full+"/attributes/a50", admin, "g3", `"51"`, "", "ok")
	c.change("PUT", "/v1/categories/"+other, admin, "g4", `"2"`, move, "attribute_taken")
}

func (c *contract) exerciseBrands() string {
	c.t.Helper()
	ops, admin := c.keepers()
	made := c.write("POST", "/v1/brands", ops, "b1", `{"names":{"en":"Acme","zh-CN":"极致"}}`, "ok")
	again := c.write("POST", "/v1/brands", ops, "b1", `{"names":{"en":"Acme","zh-CN":"极致"}}`, "ok")
	c.write("POST", "/v1/brands", ops, "b1", `{"names":{"en":"Other"}}`, "mismatch")
	c.write("POST", "/v1/brands", ops, "b2", `{"names":{"en":"ACME"}}`, "name_taken")
	second := c.text(c.write("POST", "/v1/brands", admin, "b3", `{"names":{"de":"Acme"}}`, "ok"), "brand_id")
	id := c.text(made, "brand_id")
	if made.Body != again.Body {
		c.t.Errorf("made %s, and again %s", made.Body, again.Body)
	}
	path := "/v1/brands/" + id
	c.change("PUT", path, ops, "b4", `"7"`, `{"state":"active","names":{"en":"Acme"}}`, "changed_since")
	c.change("PUT", path, ops, "b4", "", `{"state":"active","names":{"en":"Acme"}}`, "if_match_missing")
	c.change("PUT", path, ops, "b5", `"1"`, `{"state":"active","names":{"en":"x","de":"acme"}}`, "name_taken")
	c.change("PUT", path, ops, "b6", `"1"`, `{"state":"archived","names":{"en":"Acme","zh-CN":"极致"}}`, "ok")
	c.change("PUT", path, ops, "b6", `"1"`, `{"state":"active","names":{"en":"Acme"}}`, "mismatch")
	c.change("PUT", "/v1/brands/"+noBrand, ops, "b7", `"1"`, `{"state":"active","names":{"en":"None"}}`, "unknown_brand")
	shown := c.shoot(shot{Method: "GET", Path: path, Want: "ok", Header: http.Header{"Read-After": {"9999999999999999999"}}})
	if shown.JSON["state"] != "archived" || shown.Header.Get("Etag") != `"2"` || !strings.Contains(shown.Body, "极致") {
		c.t.Errorf("the brand is %s", shown.Body)
	}
	first := c.shoot(shot{Method: "GET", Path: "/v1/brands?limit=1", Want: "ok", Header: http.Header{"Read-After": {"9999999999999999999"}}})
	rest := c.shoot(shot{Method: "GET", Path: "/v1/brands?limit=1&cursor=" + c.text(first, "next_cursor"), Want: "ok", Header: http.Header{"Read-After": {"9999999999999999999"}}})
	for _, want := range []string{id, second} {
		if strings.Count(first.Body+rest.Body, `"brand_id":"`+want) != 1 {
			c.t.Errorf("%s is not once in %s and %s", want, first.Body, rest.Body)
		}
	}
	c.shoot(shot{Method: "GET", Path: "/v1/brands/" + noBrand, Want: "unknown_brand"})
	return id
}

// productShots are requests of all operations of products, in the form that is right.
func (c *contract) productShots(category, brand string) []shot {
	_, admin := c.keepers()
	match := http.Header{"If-Match": {`"1"`}}
	at := "/v1/categories/" + category
	return []shot{
		{Method: "GET", Path: "/v1/categories"},
		{Method: "POST", Path: "/v1/categories", Token: admin, Body: `{"names":{"en":"x"}}`},
		{Method: "GET", Path: at},
		{Method: "PUT", Path: at, Token: admin, Header: match, Body: `{"position":0,"state":"active","names":{"en":"x"}}`},
		{Method: "GET", Path: at + "/attributes"},
		{Method: "PUT", Path: at + "/attributes/x", Token: admin, Header: match, Body: `{"kind":"text","required":false,"names":{"en":"x"}}`},
		{Method: "DELETE", Path: at + "/attributes/x", Token: admin, Header: match},
		{Method: "GET", Path: "/v1/brands"},
		{Method: "POST", Path: "/v1/brands", Token: admin, Body: `{"names":{"en":"x"}}`},
		{Method: "GET", Path: "/v1/brands/" + brand},
		{Method: "PUT", Path: "/v1/brands/" + brand, Token: admin, Header: match, Body: `{"state":"active","names":{"en":"x"}}`},
	}
}

// exerciseProductForms sends all of them in wrong forms, and about what is not there.
func (c *contract) exerciseProductForms(category, brand string) {
	c.t.Helper()
	for _, s := range c.productShots(category, brand) {
		if of := map[bool]string{strings.Contains(s.Path, category): "category", strings.Contains(s.Path, brand): "brand"}[true]; of != "" {
			unknown := s
			unknown.Path, unknown.Want = strings.NewReplacer(category, noCategory, brand, noBrand).Replace(s.Path), "unknown_"+of
			c.shoot(unknown)
			for _, wrong := range []string{"CAT_0000000000001", "ses_0000000000001", "7"} {
				unknown.Path, unknown.Want, unknown.Undocumented = strings.NewReplacer(category, wrong, brand, wrong).Replace(s.Path), "malformed", true
				c.shoot(unknown)
			}
		}
		c.exerciseForm(s)
	}
	_, admin := c.keepers()
	for _, body := range []string{
		`{"names":{}}`, `{"names":{"en":""}}`, `{"names":{"EN":"x"}}`, `{"names":{"en":"a\u0007b"}}`, `{"names":["x"]}`, `{"names":{"en":null}}`, `{"names":{"en":"` + strings.Repeat("x", 101) + `"}}`,
		`{"position":-1,"names":{"en":"x"}}`, `{"position":10000,"names":{"en":"x"}}`, `{"position":"1","names":{"en":"x"}}`, `{"parent_id":"7","names":{"en":"x"}}`, `{"state":"active","names":{"en":"x"}}`,
	} {
		c.shoot(shot{Method: "POST", Path: "/v1/categories", Token: admin, Body: body, Want: "malformed", Undocumented: true})
	}
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf(`"a%c":"x"`, 'a'+i)
	}
	c.shoot(shot{Method: "POST", Path: "/v1/categories", Token: admin, Body: `{"names":{` + strings.Join(many, ",") + `}}`, Want: "malformed", Undocumented: true})
	c.shoot(shot{Method: "POST", Path: "/v1/categories", Token: admin, Body: `{"names":{"en":"` + strings.Repeat("é", 60) + `"}}`, Want: "malformed"}) // bytes, not characters
}

// exerciseProductsOutage takes the tables of products away.
func (c *contract) exerciseProductsOutage() {
	c.t.Helper()
	c.everyProduct("RENAME TABLE category_tree__ TO no_tree__, brands__ TO no_brands__")
	for _, s := range c.productShots(noCategory, noBrand) {
		s.Want = "unavailable"
		if s.Method == http.MethodGet {
			s.Header = http.Header{"Read-After": {"1"}} // the tree may be in memory
		}
		c.shoot(s)
	}
}

// everyProduct executes a statement in all places of products.
func (s *shop) everyProduct(statement string) {
	s.t.Helper()
	for _, p := range s.databases().All(shard.Products) {
		if _, err := p.In(p.Writer()).ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatal(p.Name, err)
		}
	}
}
