package edge_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/contracttest"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// unreached are the documented codes that no outside can bring about at will. The API's own tests have
// them.
var unreached = map[string][]string{
	"release":  {"outcome_unknown"}, // Redis must hang between two calls
	"transfer": {"in_transit"},      // between two halves
	// A SKU must vanish; else as createSale.
	"fillSale":  {"not_loaded", "sale_refused", "transfer_refused", "in_transit"},
	"emptySale": {"transfer_refused", "in_transit"},
	// All cells must be shut, stock must go between the check and the transfer, or Redis hang between two halves.
	"createSale": {"sale_refused", "transfer_refused", "in_transit"},
	// No connection to MySQL must be free, and MySQL hang between two statements.
	"resolveDeadLetter": {"unavailable", "outcome_unknown"}, "replayDeadLetter": {"outcome_unknown"},
	"registerUsers": {"unavailable"}, // MySQL must take no writes; once it has them, the outcome is unknown
	"":              {"internal"},    // a bug
}

// contract is a stack that is held to the API document.
type contract struct {
	*stack
	redis    *local.Redis
	document *contracttest.Document

	admin, service string
	sku            int64
}

// shot is one request, and the code that it is to be answered with.
type shot struct {
	method, path, token, body string
	want                      string // code; "ok": a success
	header                    http.Header
	undocumented              bool // the request is not as the document wants it
}

func newContract(t *testing.T) *contract {
	t.Helper()
	redis := servicetest.Redis(t)
	c := &contract{stack: newStack(t, redis.Addr), redis: redis, sku: 1000}
	c.cfg.QueueMax, c.cfg.InFlightMax = 8, 1
	c.cfg.RatePerUser, c.cfg.BurstPerUser = 1, 150
	c.cfg.Stock.OutboxEntriesMax = 100
	c.cfg.ReadTimeout, c.cfg.Redis.CallTimeout = 500*time.Millisecond, 300*time.Millisecond // it waits for many
	c.start()
	c.node.LeaveFences()
	c.document = contracttest.Open(t, "../docs/api/openapi.yaml", c.node.Addr(), c.http)
	c.admin, c.service = c.token(1, auth.RoleAdmin), c.token(2, auth.RoleService)
	return c
}

// of is the shot as package contracttest has it.
func (s shot) of() contracttest.Shot {
	return contracttest.Shot{
		Method: s.method, Path: s.path, Token: s.token, Body: s.body, Want: s.want, Header: s.header, Undocumented: s.undocumented,
	}
}

// shoot makes a request, and holds it and its answer to the document.
func (c *contract) shoot(s shot) answer {
	c.t.Helper()
	got := c.document.Shoot(c.t, s.of())
	return answer{status: got.Status, header: got.Header, json: got.JSON, body: got.Body}
}

// cell is the key and field of a cell in Redis, and its value.
func (c *contract) cell(cell stock.Cell) (key, field string, value []byte) {
	c.t.Helper()
	key = fmt.Sprintf("{p%d}:cells", cell.Partition(c.cfg.Stock.Partitions))
	field = string(cell.Append(nil))
	client, err := c.cfg.Redis.Client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	value, err = client.Do(context.Background(), client.B().Hget().Key(key).Field(field).Build()).AsBytes()
	if err != nil {
		c.t.Fatal(err)
	}
	return key, field, value
}

func (c *contract) setCell(key, field string, value []byte) {
	c.t.Helper()
	client, err := c.cfg.Redis.Client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	err = client.Do(context.Background(), client.B().Hset().Key(key).FieldValue().FieldValue(field, string(value)).Build()).Error()
	if err != nil {
		c.t.Fatal(err)
	}
}

// fence takes a cell back to what it was before its last change, as a Redis that lost its tail would. The scripts fence
// it once somebody asks for it. To repair it brings the change back.
func (c *contract) fence(cell stock.Cell) (repair func()) {
	c.t.Helper()
	key, field, before := c.cell(cell)
	body := `{"delta":1,"reason":"to be lost"}`
	if cell.Pool > 0 {
		body = fmt.Sprintf(`{"delta":1,"reason":"to be lost","sale_id":"%d"}`, cell.Pool)
	}
	if a := c.send("POST", fmt.Sprintf("/admin/v1/skus/%d/adjustments", cell.SKU), c.admin, body); a.status != 200 {
		c.t.Fatalf("change %v: %s", cell, a.body)
	}
	_, _, after := c.cell(cell)
	c.setCell(key, field, before)
	return func() { c.setCell(key, field, after) }
}

// breach makes a cell's counters wrong.
func (c *contract) breach(sku int64) {
	c.t.Helper()
	key, field, value := c.cell(stock.Cell{SKU: sku})
	value[5]++ // the last byte of avail, after the version
	c.setCell(key, field, value)
}
