package redisstock_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// known is evidence: what others know about the stock.
type known map[stock.Cell]stock.Position

func (k known) Highest(_ context.Context, yield func(stock.Cell, stock.Position) error) error {
	for cell, position := range k {
		if err := yield(cell, position); err != nil {
			return err
		}
	}
	return nil
}

func (known) Forks(context.Context, func(stock.Cell, stock.Position) error) error { return nil }

// forked is evidence of forks.
type forked struct {
	known

	forks known
}

func (f *forked) Forks(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return f.forks.Highest(ctx, yield)
}

// connect makes a client that is closed with the test.
func connect(t testing.TB, addrs ...string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(redis.Options(addrs, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func openConfig() redisstock.OpenConfig {
	return redisstock.OpenConfig{
		Partitions: stock.PartitionsDefault,
		Deployment: "test",
		Evidence:   known{},
		Nonces:     &redistest.Nonces{},
		Log:        slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// open opens a server for a deployment of the default number of partitions.
func open(t testing.TB, client rueidis.Client) {
	t.Helper()
	if _, err := redisstock.Open(t.Context(), client, openConfig()); err != nil {
		t.Fatal(err)
	}
}

// newStore makes a store with time to spare, because tests share a machine.
func newStore(t testing.TB, client rueidis.Client, cfg redisstock.Config) *redisstock.Store {
	t.Helper()
	cfg.Partitions = stock.PartitionsDefault
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = 20 * time.Second
	}
	s, err := redisstock.New(client, cfg)
	if err == nil {
		err = s.TrustAll(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func onServer(t *testing.T) rueidis.Client {
	t.Helper()
	client := connect(t, servicetest.Redis(t).Addr)
	open(t, client)
	return client
}

func onCluster(t *testing.T) rueidis.Client {
	t.Helper()
	client := connect(t, servicetest.RedisCluster(t).Addrs...)
	open(t, client)
	return client
}

// opened is a shop on a server of its own, the settings of the vetting that has opened it, and the marks that this gave.
func opened(t *testing.T) (s *shop, cfg redisstock.OpenConfig, marks []stock.Mark) {
	t.Helper()
	client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return newShop(t, client, redisstock.Config{}), cfg, report.Marks
}

// shop is a store and short words for what tests do with it.
type shop struct {
	testing.TB
	client rueidis.Client
	*redisstock.Store

	refusing stock.Request // of a basket, where a test has begun one
}

func newShop(t testing.TB, client rueidis.Client, cfg redisstock.Config) *shop {
	t.Helper()
	return &shop{TB: t, client: client, Store: newStore(t, client, cfg)}
}

// open opens the server, and trusts it from then on.
func (s *shop) open() {
	s.Helper()
	open(s.TB, s.client)
	s.trust()
}

// restarted is a shop of another run, which resumes what the last one trusted.
func restarted(last *shop, cfg redisstock.Config) *shop {
	last.Helper()
	cfg.Partitions = stock.PartitionsDefault
	store, err := redisstock.New(last.client, cfg)
	if err != nil {
		last.Fatal(err)
	}
	store.Resume(last.Marks())
	return &shop{TB: last.TB, client: last.client, Store: store}
}

// trust trusts whatever the server has.
func (s *shop) trust() {
	s.Helper()
	if err := s.TrustAll(s.Context()); err != nil {
		s.Fatal(err)
	}
}

// newCell is a cell of a SKU that no other test uses.
func newCell() stock.Cell { return stock.Cell{SKU: 1 + rand.Int64N(1<<62)} }

func partition(cell stock.Cell) int { return cell.Partition(stock.PartitionsDefault) }

// load makes a new cell.
func (s *shop) load(units int64, settings stock.Settings) stock.Cell {
	s.Helper()
	cell := newCell()
	if outcome := s.one(stock.OpAdjust, creation(cell, units, settings)); outcome.Verdict != stock.VerdictOK {
		s.Fatalf("create cell: %v", outcome.Verdict)
	}
	return cell
}

func creation(cell stock.Cell, units int64, settings stock.Settings) stock.Request {
	if settings.Hold == 0 {
		settings.Hold = time.Hour
	}
	return adjustment(cell, "load", stock.Adjustment{Create: true, Delta: units, Settings: settings})
}

func adjustment(cell stock.Cell, key string, a stock.Adjustment) stock.Request {
	a.Reason = "test"
	if a.Kind == 0 {
		a.Kind = stock.AdjustPlain
	}
	return stock.Request{
		ID:         stock.Identity{User: 1, Route: stock.OpAdjust, Cell: cell, Key: key}.ID(stock.PartitionsDefault),
		Cell:       cell,
		User:       1,
		Adjustment: &a,
	}
}

// take is the request of a reserve or deduct; its key is its user.
func take(op stock.Op, cell stock.Cell, user, quantity int64) stock.Request {
	return stock.Request{
		ID: stock.Identity{
			User: user, Route: op, Cell: cell, Key: strconv.FormatInt(user, 10),
		}.ID(stock.PartitionsDefault),
		Cell:        cell,
		User:        user,
		Quantity:    quantity,
		Fingerprint: stock.FingerprintOf(quantity),
	}
}

// comesBack is a return by a user.
func comesBack(cell stock.Cell, user, quantity int64) stock.Request {
	r := take(stock.OpReturn, cell, user, quantity)
	r.Reason = "did not fit"
	return r
}

// do decides requests as one vector, whose error it returns in the vector.
// basketOf is a basket of one line.
func basketOf(cell stock.Cell, user, quantity int64) stock.Request {
	b, err := stock.NewBasket(user, "key", []stock.Line{{Cell: cell, Quantity: quantity}}, stock.PartitionsDefault)
	if err != nil {
		panic(err)
	}
	return stock.Request{
		ID: b.ID(), Cell: cell, User: user, Quantity: quantity, Fingerprint: b.Fingerprint, Part: &stock.Part{Home: &b, To: stock.BasketHeld},
	}
}

func (s *shop) do(op stock.Op, requests ...stock.Request) *stock.Vector {
	s.Helper()
	v := &stock.Vector{Op: op, Partition: requests[0].ID.Partition(), Requests: requests}
	s.Do(s.Context(), v)
	return v
}

// one decides one request, which must not fail.
func (s *shop) one(op stock.Op, request stock.Request) stock.Outcome {
	s.Helper()
	v := s.do(op, request)
	if v.Err != nil {
		s.Fatalf("%v: %v", op, v.Err)
	}
	return v.Outcomes[0]
}

// reserve reserves units that are there.
func (s *shop) reserve(cell stock.Cell, user, quantity int64) stock.Reservation {
	s.Helper()
	outcome := s.one(stock.OpReserve, take(stock.OpReserve, cell, user, quantity))
	if outcome.Verdict != stock.VerdictOK {
		s.Fatalf("reserve: %v", outcome.Verdict)
	}
	return outcome.Reservation
}

func (s *shop) state(cell stock.Cell) stock.CellState {
	s.Helper()
	states, _, err := s.Cells(s.Context(), []stock.Cell{cell})
	if err != nil {
		s.Fatal(err)
	}
	return states[0]
}

// now is Redis time in ms. It needs no partition, because a test may have shut any of them.
func (s *shop) now() int64 {
	s.Helper()
	time, err := s.run("TIME", "").AsIntSlice()
	if err != nil || len(time) != 2 {
		s.Fatalf("time is %v, %v", time, err)
	}
	return time[0]*1000 + time[1]/1000
}

// waitUntil asks Redis for its time until that has reached ms.
func (s *shop) waitUntil(ms int64) {
	s.Helper()
	for s.now() < ms {
	}
}

// run runs one command of Redis, about a key unless that is empty.
func (s *shop) run(command, key string, args ...string) rueidis.RedisResult {
	s.Helper()
	c := s.client.B().Arbitrary(command)
	if key != "" {
		c = c.Keys(key)
	}
	return s.client.Do(s.Context(), c.Args(args...).Build())
}

// must runs one command that must not fail.
func (s *shop) must(command, key string, args ...string) {
	s.Helper()
	if err := s.run(command, key, args...).Error(); err != nil && !rueidis.IsRedisNil(err) {
		s.Fatalf("%s %s: %v", command, key, err)
	}
}

// dump is all that a partition's keys hold, byte for byte.
func (s *shop) dump(partition int) map[string]string {
	s.Helper()
	keys, err := s.run("KEYS", "", "{p"+strconv.Itoa(partition)+"}:*").AsStrSlice()
	if err != nil {
		s.Fatal(err)
	}
	dump := map[string]string{}
	for _, key := range keys {
		if dump[key], err = s.run("DUMP", key).ToString(); err != nil {
			s.Fatal(err)
		}
	}
	return dump
}

// setBack puts a dump in the place of all that a partition's keys hold.
func (s *shop) setBack(partition int, dump map[string]string) {
	s.Helper()
	for key := range s.dump(partition) {
		s.must("DEL", key)
	}
	for key, value := range dump {
		s.must("RESTORE", key, "0", value, "REPLACE")
	}
}

// unshut is a cell's packed value without its flags.
func (s *shop) unshut(cell stock.Cell) string {
	s.Helper()
	value, err := s.run("HGET", redisstock.CellsKey(partition(cell)), string(cell.Append(nil))).ToString()
	if rueidis.IsRedisNil(err) {
		return ""
	}
	if err != nil {
		s.Fatal(err)
	}
	return value[:flagsAt]
}

// edit changes the packed value of a cell behind the scripts' back.
func edit(t testing.TB, client rueidis.Client, cell stock.Cell, change func(value []byte)) {
	t.Helper()
	key, field := redisstock.CellsKey(partition(cell)), string(cell.Append(nil))
	value, err := client.Do(t.Context(), client.B().Hget().Key(key).Field(field).Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	edited := []byte(value)
	change(edited)
	err = client.Do(t.Context(), client.B().Hset().Key(key).FieldValue().FieldValue(field, string(edited)).Build()).Error()
	if err != nil {
		t.Fatal(err)
	}
}

// Places of the last bytes of fields in a cell's packed value.
const (
	availEnd = 5
	heldEnd  = 10
	seqEnd   = 21
	epochEnd = 30
	flagsAt  = 50
)
