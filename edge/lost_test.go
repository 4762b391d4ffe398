package edge_test

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ledger"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// TestCellThatOnlyRedisHadIsNamed: Redis loses its tail, and Kafka the events of it, before MySQL has them. Of a SKU that was made in
// that tail only the edge knows. It tells MySQL of it.
func TestCellThatOnlyRedisHadIsNamed(t *testing.T) {
	t.Parallel()
	redis := servicetest.Redis(t)
	s := newStack(t, redis.Addr)
	s.cfg.Stock.Ack = stock.AckLog.String()
	s.start()
	const kept, lost = 1, 2
	s.load(kept, 100, "")
	at := size(t, appendOnly(t, redis))
	s.load(lost, 10, "")
	if got := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"2","quantity":3}`, "Idempotency-Key", "a"); got.status != http.StatusCreated {
		t.Fatal(got.body)
	}
	s.forgetKafka(3)
	killCutBack(t, redis, at)

	named := regexp.MustCompile(`msg="redis has lost a cell that it alone had.* cell="sku (\d+)" epoch=1 seq=2 avail=7 held=3 sold=0 units_at_most=10`)
	s.until(promotionWithin, "the edge names the cell", func() bool { return len(s.logs.find(named)) > 0 })
	if found := s.logs.find(named); len(found) != 1 || found[0][1] != "2" {
		t.Errorf("named: %q", found)
	}
	if found := s.logs.find(regexp.MustCompile("remembers none of these")); len(found) > 0 {
		t.Errorf("cells without a name: %q", found)
	}
	want := ledger.LostCell{Cell: stock.Cell{SKU: lost}, Position: stock.Position{Epoch: 1, Seq: 2}, Balances: stock.Balances{Avail: 7, Held: 3, Total: 10}}
	if told := s.lostCells(); len(told) != 1 || told[0] != want {
		t.Errorf("MySQL knows of %+v, want %+v", told, want)
	}

	s.load(lost, 10, "") // again, as the log says
	s.until(promotionWithin, "the new cell sells", func() bool {
		got, err := s.trySend("POST", "/v1/reservations", s.token(8, auth.RoleShopper), `{"sku_id":"2","quantity":1}`, "Idempotency-Key", "b")
		return err == nil && got.status == http.StatusCreated
	})
}

// forgetKafka waits until Kafka has so many messages, and deletes them.
func (s *stack) forgetKafka(messages int64) {
	s.t.Helper()
	topic := outbox.NewTopic(s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic)
	defer topic.Close()
	s.until(10*time.Second, "Kafka has the events", func() bool {
		n := int64(0)
		unread, err := topic.Unread(s.t.Context(), s.cfg.Kafka.Group)
		for _, r := range unread {
			n += r.End - r.First
		}
		return err == nil && n >= messages
	})
	unread, err := topic.Unread(s.t.Context(), s.cfg.Kafka.Group)
	if err != nil {
		s.t.Fatal(err)
	}
	for partition, r := range unread {
		servicetest.DeleteRecords(s.t, s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic, int32(partition), r.End)
	}
}

// lostCells are those that MySQL knows to be lost.
func (s *stack) lostCells() (lost []ledger.LostCell) {
	s.t.Helper()
	mysql, err := db.Config{DSN: s.cfg.MySQL.DSN, ConnsMax: 1, Timeout: time.Minute}.Open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer mysql.Close()
	err = ledger.New(mysql, nil).Moments().LostCells(s.t.Context(), 10, func(l *ledger.LostCell) {
		found := *l
		found.TimeMS = 0
		lost = append(lost, found)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return lost
}
