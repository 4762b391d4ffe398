package cli

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"sluice/cli/command"
	"sluice/core/local/servicetest"
	"sluice/core/reconcile"
	"sluice/core/repair"
	"sluice/core/stock"
)

// transferCut is a deployment whose edge was killed in the middle of an admin's transfer of three units of SKU 1 to
// sale 7, two minutes ago.
type transferCut struct {
	*hands

	move  stock.TransferRequest
	token string
}

func newTransferCut(t *testing.T) *transferCut {
	t.Helper()
	h := newHands(t, 1)
	h.run("sale", "create", "7", "--name", "summer", "--item", "1:4", "--yes").want(command.ExitDone)
	h.settled()
	c := &transferCut{hands: h, move: stock.TransferRequest{
		From: stock.Cell{SKU: 1}, To: stock.Cell{SKU: 1, Pool: 7}, Units: 3, User: 5, Scope: stock.ScopeTransfer, Key: "k", Reason: "for the fair",
	}}
	out, in := c.move.IDs(8)
	link := servicetest.NewLink(t, h.flags["--redis-addr"])
	args := h.service("edge")
	at := func(flag string) int {
		return slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, flag+"=") })
	}
	args[at("--redis-addr")] = "--redis-addr=" + link.Addr
	_, h.flags["--token-key-file"], _ = strings.Cut(args[at("--token-key-file")], "=")
	c.token = strings.TrimSpace(h.run("token", "issue", "--user", "5", "--role", "admin").want(command.ExitDone).out)
	edge := startProgram(t, "", args...)
	link.CutBefore(in[:], func() { _ = edge.cmd.Process.Kill() })
	addr := addressIn(edge.until("edge is up"))
	h.await(func() bool {
		_, _, err := c.post(addr)
		return err != nil
	})
	if code := edge.end(); code != -1 {
		t.Fatalf("the edge was not killed: exit code %d\n%s", code, edge.said.String())
	}
	h.settled()
	h.sql("UPDATE ledger SET redis_ms = redis_ms - 120000 WHERE reservation_id = ?", out[:])
	return c
}

// post asks an edge for the transfer.
func (c *transferCut) post(addr string) (status int, replayed bool, err error) {
	c.hand.t.Helper()
	body := fmt.Sprintf(`{"sku_id":"1","to_sale_id":"7","quantity":%d,"reason":%q}`, c.move.Units, c.move.Reason)
	r, err := http.NewRequestWithContext(c.ctx, http.MethodPost, "http://"+addr+"/admin/v1/transfers", strings.NewReader(body))
	if err != nil {
		c.hand.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", c.move.Key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, false, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, false, err
	}
	return answer.StatusCode, answer.Header.Get("Idempotent-Replayed") == "true", nil
}

// has checks how many units there are in normal stock and in the sale.
func (c *transferCut) has(normal, sale int64) {
	c.hand.t.Helper()
	if got := c.show(1).Redis.Total; got != normal {
		c.hand.t.Errorf("%d units in normal stock, want %d", got, normal)
	}
	if got := c.show(1, "--sale", "7").Redis.Total; got != sale {
		c.hand.t.Errorf("%d units in the sale, want %d", got, sale)
	}
}

// An edge is killed between the halves of an admin's transfer. The plan says where the units were to go, and two machines that
// carry it out at once bring them there once. The admin's call, repeated, finds that all is done.
func TestRepairFinishesAnAdminsTransfer(t *testing.T) {
	t.Parallel()
	c := newTransferCut(t)
	defer c.stop()
	c.has(13, 4)
	c.run("reconcile", "--repair").want(command.ExitDrift, "they left the cell for sku 1, sale 7", "3 units arrive in sku 1, sale 7")
	answers := atOnce(2, func(i int) result {
		return c.run("reconcile", "-o", "json", "--repair", "--apply", "--reason", "test", "--by", fmt.Sprintf("machine %d", i), "--yes")
	})
	for _, a := range answers {
		m := into[mended](a.want(command.ExitDone))
		for _, s := range m.Results { // a repair that comes late finds nothing
			if s.Outcome != "done" || !strings.Contains(s.Said, "sale 7") {
				t.Errorf("%+v", s)
			}
		}
	}
	if all, done := c.rows("TRUE"), c.rows("round = 1 AND outcome = 'done'"); all != 1 || done != 1 {
		t.Errorf("%d rows, of which %d are done the first time, want 1", all, done)
	}
	c.settled()
	c.has(13, 7)
	if again := c.mend(command.ExitDone); len(again.Plan.Steps) > 0 {
		t.Errorf("again: %+v", again.Plan)
	}

	edge := startProgram(t, "", c.service("edge")...)
	addr := addressIn(edge.until("edge is up"))
	c.await(func() bool {
		status, replayed, err := c.post(addr)
		if err != nil || status == http.StatusOK && !replayed || status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Fatalf("repeated: status %d, replayed %v, error %v", status, replayed, err)
		}
		return status == http.StatusOK
	})
	c.settled()
	c.has(13, 7)
}

// A machine that was killed after the units had arrived, and before it noted that, is followed by another one, which brings none.
func TestRepairOfATransferGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	c := newTransferCut(t)
	defer c.stop()
	plan := c.plan(command.ExitDrift).Plan
	if plan.Does != 1 || plan.Units != 3 {
		t.Fatalf("%+v", plan)
	}
	s := plan.Steps[0]
	c.sql(`INSERT INTO repairs (step_id, round, plan, operator, reason, type, repair, sku_id, pool, bucket, units, direction, expects, does, act, by_persister, claimed_at)
		VALUES (UNHEX(?), 1, '', 'killed', 'x', ?, ?, 1, 0, 0, 3, '', '', '', '{}', FALSE, NOW(3) - INTERVAL 1 MINUTE)`, s.ID, s.Type, s.Repair)
	if _, err := stock.Transfer(t.Context(), c.store(), c.move); err != nil {
		t.Fatal(err)
	}
	if m := c.mend(command.ExitDone); len(m.Results) != 0 {
		t.Errorf("%+v", m.Results)
	}
	if n := c.rows("operator = 'killed' AND outcome = 'done'"); n != 1 {
		t.Errorf("%d rows are closed, want 1", n)
	}
	c.has(13, 7)
}

// Units whose cell takes none stay where they are, and the step says why. Redis may not forget them meanwhile: later, nobody could
// tell whether they have arrived.
func TestRepairOfATransferIsRefused(t *testing.T) {
	t.Parallel()
	c := newTransferCut(t)
	defer c.stop()
	to := c.move.To
	key, field := cellsOf(to), string(to.Append(nil))
	value := c.get(key, field)
	closed := slices.Clone(value)
	closed[50] |= 2 // fenced
	c.set(key, field, closed)
	m := c.mend(command.ExitFailed, "--sku", "1")
	found := false
	for _, s := range m.Results {
		if s.Repair == "finish_transfer" {
			found = true
			if s.Outcome != "refused" || !strings.Contains(s.Said, "fenced") {
				t.Errorf("%+v", s)
			}
		}
	}
	if !found {
		t.Errorf("%+v", m.Results)
	}
	c.set(key, field, value)
	c.mend(command.ExitDone)
	c.settled()
	c.has(13, 7)
}

// Once Redis may have forgotten that the units arrived, a step that was planned before brings none.
func TestRepairOfATransferThatRedisMayForget(t *testing.T) {
	t.Parallel()
	c := newTransferCut(t)
	defer c.stop()
	desk, plan := c.planned()
	if plan.Does != 1 || plan.Steps[0].Act.Transfer == nil {
		t.Fatalf("%+v", plan.Steps)
	}
	apply := func(want repair.Outcome, said string) {
		t.Helper()
		now, err := desk.Books.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		plan.MadeAt = now + 1 // what was refused may be tried again
		err = desk.Apply(t.Context(), plan, func(r *repair.Result) {
			if r.Outcome != want || !strings.Contains(r.Said, said) {
				t.Errorf("%s: %s, want %s: %s", r.Outcome, r.Said, want, said)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	out, _ := c.move.IDs(8)
	key := resOf(c.move.From)
	record := c.get(key, string(out[:]))
	c.del(key, string(out[:]))
	apply(repair.Refused, "Redis may have forgotten")
	c.set(key, string(out[:]), record)

	const nearly = 24*60*60_000 - 5*60_000 // of the retention
	c.sql("UPDATE ledger SET redis_ms = redis_ms - ? WHERE reservation_id = ?", nearly, out[:])
	apply(repair.Refused, "Redis may have forgotten")
	c.sql("UPDATE ledger SET redis_ms = redis_ms + ? WHERE reservation_id = ?", nearly, out[:])

	act := plan.Steps[0].Act.Transfer
	was := act.Out
	act.Out = c.held[1].String()
	apply(repair.Refused, "the ledger does not have the event by which they left")
	act.Out = was
	c.has(13, 4)
	apply(repair.Done, "arrived in sku 1, sale 7")
	c.has(13, 7)
}

// Units cannot arrive because their partition fails. What else is wrong with the partition that they left is put right all the same.
func TestRepairGoesOnWhereATransferLeft(t *testing.T) {
	t.Parallel()
	c := newTransferCut(t)
	defer c.stop()
	from, to := c.move.From, c.move.To
	if from.Partition(8) == to.Partition(8) {
		t.Fatal("the cells share a partition")
	}
	c.buyer(from.SKU, 2, 4)
	desk, plan := c.planned()
	slices.SortFunc(plan.Steps, func(a, b reconcile.RepairStep) int { return strings.Compare(string(b.Type), string(a.Type)) })
	if len(plan.Steps) != 2 || plan.Steps[0].Act.Transfer == nil || plan.Steps[1].Act.Count == nil {
		t.Fatalf("%+v", plan.Steps)
	}
	redis := c.hand.client
	key := cellsOf(to)
	for _, command := range []rueidis.Completed{
		redis.B().Rename().Key(key).Newkey(key + ":aside").Build(), redis.B().Set().Key(key).Value("not a hash").Build(),
	} {
		if err := redis.Do(t.Context(), command).Error(); err != nil {
			t.Fatal(err)
		}
	}
	outcomes := map[string]repair.Outcome{}
	if err := desk.Apply(t.Context(), plan, func(r *repair.Result) { outcomes[r.Repair] = r.Outcome }); err != nil {
		t.Fatal(err)
	}
	if want := map[string]repair.Outcome{"finish_transfer": repair.Pending, "set_buyer_count": repair.Done}; !maps.Equal(outcomes, want) {
		t.Errorf("%v, want %v", outcomes, want)
	}
	if err := redis.Do(t.Context(), redis.B().Rename().Key(key+":aside").Newkey(key).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}
