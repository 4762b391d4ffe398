package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/rueidis"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/truth"
	"sluice/core/auth"
	"sluice/core/evidence"
	"sluice/core/lifecycle"
	skus "sluice/core/operate/load"
	"sluice/core/operate/stockfile"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/text"
)

const (
	benchService   = 1<<62 + 1 // user id of the service that confirms
	benchKnown     = 10 * time.Second
	benchJudgeCut  = 10 * time.Second // of somebody who has interrupted the run
	benchTokenMax  = 16 << 10
	benchSweepTime = 10 * time.Minute
)

// benchRun is a run of the command.
type benchRun struct {
	*Bench

	opened  *Opened // nil: the stores are not given
	judge   *truth.Judge
	first   int64 // SKU of the crowd's first
	tokens  []string
	service string
	stamp   report.Stamp
	began   time.Time
}

func (p *benchRun) close() error {
	if p.opened == nil {
		return nil
	}
	return p.opened.Close()
}

// prepare makes what the run needs: tokens, SKUs, and the stock before it.
func (b *Bench) prepare(ctx context.Context, c *Console) (p *benchRun, err error) {
	p = &benchRun{Bench: b, first: b.SKU, began: time.Now()}
	p.stamp = report.NewStamp(p.began.UTC(), b.Addr, uint64(b.Seed))
	p.stamp.Settings = b.given
	if err := p.identify(ctx); err != nil {
		return nil, err
	}
	if b.hasStores() {
		if p.opened, err = b.openStores(ctx, c); err != nil {
			return nil, err
		}
		p.stamp.Redis, p.stamp.MySQL = p.opened.versions(ctx)
	}
	err = p.stock(ctx, c)
	if err == nil {
		err = p.known(ctx)
	}
	if err == nil && p.opened != nil && !b.NoTruth {
		p.judge = &truth.Judge{
			Redis: p.opened.Stock, Sweeper: p.opened.sweeper(b.stores().Kafka), Cells: p.cells(), Apart: len(p.cells()) - b.SKUs, CatchUp: b.CatchUp,
			Adopt: func(ctx context.Context) error { return p.opened.Stock.Adopt(ctx, evidence.NewNonces(p.opened.DB)) },
		}
		err = p.judge.Begin(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// openStores opens the stores, and vets them if SKUs are to be made.
func (b *Bench) openStores(ctx context.Context, c *Console) (*Opened, error) {
	w := b.stores()
	w.Redis.CallTimeout = max(w.Redis.CallTimeout, loadCallTimeout)
	if b.SKU != 0 {
		return w.Open(ctx)
	}
	return w.OpenToCreate(ctx, c)
}

// identify makes or reads the tokens.
func (p *benchRun) identify(ctx context.Context) error {
	if p.Key.File != "" {
		keys, err := p.Key.read()
		if err != nil {
			return usage(err)
		}
		if p.service, err = keys.Issue(p.claims(benchService, auth.RoleService)); err != nil {
			return usage(err)
		}
		if p.Tokens == "" {
			p.tokens, err = tokensOf(ctx, keys, p.claims(1, auth.RoleShopper), p.Users)
			return err
		}
	}
	file, err := os.Open(p.Tokens)
	if err != nil {
		return usage(fmt.Errorf("tokens: %w", text.OfFile(err)))
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, benchTokenMax)
	for lines.Scan() && len(p.tokens) < p.Users {
		if token := strings.TrimSpace(lines.Text()); token != "" {
			p.tokens = append(p.tokens, token)
		}
	}
	if err := lines.Err(); err != nil {
		return usage(fmt.Errorf("tokens: read %s: %w", p.Tokens, err))
	}
	if len(p.tokens) < p.Users {
		return usage(fmt.Errorf("tokens: %s has %d: make more by sluice token --users, or lower --users", p.Tokens, len(p.tokens)))
	}
	for i, token := range p.tokens {
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return usage(fmt.Errorf("tokens: %s: token %d is none: want a token on each line", p.Tokens, i+1))
		}
		if ends, says := auth.Ends(token); says && ends.Before(p.began.Add(p.length())) {
			return usage(fmt.Errorf("tokens: %s: token %d ends at %s, and the run goes on until %s: make tokens that last longer by sluice token --users --ttl",
				p.Tokens, i+1, ends.UTC().Format(time.RFC3339), p.began.Add(p.length()).UTC().Format(time.RFC3339)))
		}
	}
	return nil
}

// length is how long shoppers have something to send, if nothing is repeated.
func (b *Bench) length() time.Duration {
	return b.crowd.WarmUp + b.crowd.Curve.Length() + b.crowd.SettleAfter
}

// claims are those of a token that outlives the run.
func (b *Bench) claims(user int64, role auth.Role) auth.Claims {
	return lastingClaims(user, role, b.Names.Issuer, b.Names.Audience)
}

// lastingClaims are those of a token that is good for as long as any.
func lastingClaims(user int64, role auth.Role, issuer, audience string) auth.Claims {
	now := time.Now()
	return auth.Claims{
		Identity: auth.Identity{Subject: user, Role: role}, Issuer: issuer, Audience: audience,
		NotBefore: now.Add(-time.Minute), Expires: now.Add(auth.LifetimeMax - 2*time.Minute),
	}
}

// versions tells what the stores are. What they do not tell stays empty.
func (o *Opened) versions(ctx context.Context) (redis, mysql string) {
	for _, node := range o.Client.Nodes() {
		if info, err := node.Do(ctx, node.B().Info().Section("server").Build()).ToString(); err == nil {
			redis = redisstock.About(info).Name()
			break
		} else if _, refused := rueidis.IsRedisErr(err); !refused {
			break
		}
	}
	_ = o.DB.QueryRowContext(ctx, "SELECT VERSION()").Scan(&mysql)
	return redis, mysql
}

// sku is the id of a SKU of the crowd. Those of the run are ids that nobody else has: they begin with the time.
func (p *benchRun) sku(n int) int64 { return p.first + int64(n) }

// cells are the cells of all SKUs that shoppers buy.
func (p *benchRun) cells() (cells []stock.Cell) {
	n := p.SKUs + 1 // that of the warm-up
	if p.SKU != 0 {
		n = 1
	}
	for i := range n {
		cells = append(cells, cellOf(p.sku(i), p.Sale))
	}
	return cells
}

// stock makes the SKUs of the run.
func (p *benchRun) stock(ctx context.Context, c *Console) error {
	if p.SKU != 0 {
		return nil
	}
	p.first = 1<<62 | p.began.UnixMilli()<<20
	if p.SKUs > 1 {
		c.Notef("making %s SKUs", number(int64(p.SKUs)))
	}
	var file strings.Builder
	fmt.Fprintln(&file, "sku_id,quantity,limit,hold_seconds")
	line := func(n int, units, limit int64) {
		words := ""
		if limit > 0 {
			words = fmt.Sprint(limit)
		}
		fmt.Fprintf(&file, "%d,%d,%s,%d\n", p.sku(n), units, words, int64(p.Hold.Seconds()))
	}
	for n := range p.SKUs {
		line(n, p.Units, p.Limit)
	}
	line(p.SKUs, stock.UnitsMax, 0)
	lines, err := stockfile.NewReader(strings.NewReader(file.String()))
	if err != nil {
		return err
	}
	loader := &skus.Loader{
		Store: p.opened.Stock, Reopen: p.opened.Stock.Shut, Progress: func(int64) {},
		Fault: func(f *skus.Fault) { c.Notef("%v", lineError(f)) },
	}
	did, err := loader.Load(ctx, lines)
	switch {
	case err != nil:
		return fmt.Errorf("make SKUs: %w", err)
	case did.Loaded != int64(p.SKUs)+1:
		return fmt.Errorf("%d of %d SKUs could not be made", int64(p.SKUs)+1-did.Loaded, p.SKUs+1)
	}
	return nil
}

// known waits until the edge sells the first SKU, and the last one made.
func (p *benchRun) known(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, benchKnown)
	defer cancel()
	cells := p.cells()
	for _, cell := range []stock.Cell{cells[0], cells[len(cells)-1]} {
		left := p.target.StockLeft(cell.SKU, p.saleID(), p.tokens[0])
		err := lifecycle.Poll(ctx, 50*time.Millisecond, func() error { _, err := left(ctx); return err }, func(error) bool { return false })
		if err != nil {
			return fmt.Errorf("the edge does not show SKU %d: %w", cell.SKU, err)
		}
	}
	return nil
}

func (p *benchRun) saleID() string {
	if p.Sale == 0 {
		return ""
	}
	return fmt.Sprint(p.Sale)
}

// run sends the crowd and returns the report.
func (p *benchRun) run(ctx context.Context, c *Console) *report.Report {
	r := &report.Report{Version: report.Version, Stamp: p.stamp, Plan: p.planned()}
	c.Notef("%s", r.Plan.Text)
	second, stop := watchBench(ctx, c, &r.Plan)
	visited := p.crowd.Run(ctx, &load.Visit{
		Target: p.target, Run: fmt.Sprintf("bench-%x", p.began.UnixNano()), Connections: p.Connections, Timeout: p.Timeout,
		SaleID: p.saleID(), SKU: p.sku, Token: func(user int) string { return p.tokens[user] }, Service: p.service,
		StockLeft: p.stockLeft(), Watch: second,
	})
	stop()
	r.ElapsedMS = float64(visited.Length.Milliseconds())
	r.Outcomes, r.Shoppers, r.Settles, r.Seconds = visited.Outcomes, visited.Shoppers, visited.Settles, visited.Seconds
	r.Generator, r.Fairness, r.Cut = visited.Generator, visited.Fairness, visited.Cut
	for i := range p.wants {
		r.Thresholds = append(r.Thresholds, p.wants[i].Of(r))
	}
	r.Truth = p.truth(ctx, c, visited.Units)
	r.Exit = r.ExitCode()
	return r
}

// stockLeft reads the free units of the most wanted SKU.
func (p *benchRun) stockLeft() func(context.Context) (int64, error) {
	if p.opened == nil {
		return p.target.StockLeft(p.sku(0), p.saleID(), p.tokens[0])
	}
	cell := p.cells()[:1]
	return func(ctx context.Context) (int64, error) {
		states, _, err := p.opened.Stock.Cells(ctx, cell)
		if err != nil {
			return 0, err
		}
		return states[0].Avail, nil
	}
}

// truth judges stock, also after an interruption.
func (p *benchRun) truth(ctx context.Context, c *Console, units []load.Units) report.Truth {
	if p.SKU != 0 {
		units = units[:1]
	}
	if p.judge == nil {
		t := report.Truth{Verdict: report.NotJudged}
		if !p.NoTruth {
			t.Verdict, t.Reasons = report.Unverified, []string{"the stores' addresses are not given"}
		}
		t.AcceptedUnits, t.UnknownUnits = truth.Told(units[:p.SKUs])
		return t
	}
	within, ended := p.CatchUp+benchSweepTime, ctx.Err() != nil
	ctx, stop := untilNextSignal(ctx)
	defer stop()
	if ended {
		p.judge.CatchUp, within = min(p.CatchUp, benchJudgeCut), 2*benchJudgeCut
	}
	c.Notef("judging stock")
	judging, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	t := p.judge.End(judging, units)
	if ctx.Err() != nil {
		t.Interrupted = true
	}
	return t
}

// untilNextSignal returns a context that ends with the next signal: of a context that no signal has ended yet, with that
// context. A signal after that ends the program at once.
func untilNextSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return context.WithCancel(ctx)
	}
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// planned is the plan as the report has it.
func (p *benchRun) planned() report.Plan {
	curve, ms := p.crowd.Curve, func(d time.Duration) float64 { return float64(d.Milliseconds()) }
	plan := report.Plan{
		Arrivals: p.Arrivals, WarmUpMS: ms(p.crowd.WarmUp), LengthMS: ms(curve.Length()), Shoppers: int64(curve.Total() + 0.5),
		Users: int64(p.Users), SKUs: int64(p.SKUs), Keys: string(p.crowd.Choice), Retries: p.Retries, Impatient: p.Impatient,
		PatienceMS: ms(p.Patience), Bots: p.Bots, BotTries: p.BotTries, Confirm: p.Confirm, Release: p.Release, Connections: p.Connections,
	}
	if p.Curve != "" {
		plan.Arrivals = "curve"
	}
	if p.SKU == 0 {
		plan.Stock, plan.Limit = p.Units, p.Limit
	}
	if p.crowd.WarmUp > 0 {
		mean := curve.Total() / curve.Length().Seconds()
		plan.Curve = []report.Point{{AtMS: 0, PerSecond: mean}, {AtMS: plan.WarmUpMS, PerSecond: mean}}
	}
	for _, point := range curve {
		plan.Curve = append(plan.Curve, report.Point{AtMS: ms(p.crowd.WarmUp + point.At), PerSecond: point.PerSecond})
	}
	plan.Text = fmt.Sprintf("%s arrivals, up to %s/s for %v: %s shoppers want %s of %s SKUs", plan.Arrivals, number(int64(curve.Peak())), curve.Length(),
		number(plan.Shoppers), plan.Keys, number(plan.SKUs))
	if p.SKU == 0 {
		plan.Text += fmt.Sprintf(" with %s units each", number(p.Units))
	}
	return plan
}
