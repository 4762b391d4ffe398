package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/bench/baseline"
)

// fakeShop sells from memory.
type fakeShop struct {
	counted bool  // otherwise it has no stock, as the empty handler
	takes   int64 // units that each purchase takes
	credit  int64 // units that it sells without having them
	forgets bool  // every second purchase
	most    int64 // purchases of a SKU with more than the few units of the proof; 0: any number
	fails   error // of each purchase
	idle    bool  // it sells the few units of the proof, and then nobody gets an answer
	crowd   int   // so many buyers are too many, and wait; 0: never

	mu                       sync.Mutex
	units, left, orders      int64
	buyers                   int
	stocked, cleared, closed int
}

func (s *fakeShop) Stock(_ context.Context, _, units int64) error {
	s.units, s.left, s.orders = units, units, 0
	s.stocked++
	return nil
}

func (s *fakeShop) Buyer() (baseline.Buyer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buyers++
	return fakeBuyer{s}, nil
}

type fakeBuyer struct{ s *fakeShop }

func (b fakeBuyer) Close() {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.buyers--
}

func (b fakeBuyer) Buy(ctx context.Context, _ baseline.Order) (bool, error) {
	time.Sleep(50 * time.Microsecond) // as a server would
	s := b.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crowd > 0 && s.buyers >= s.crowd {
		time.Sleep(time.Millisecond)
	}
	if s.idle && s.units > proofUnits {
		<-ctx.Done()
		return false, baseline.ErrEnded
	}
	if s.fails != nil || s.left < s.takes-s.credit || s.most > 0 && s.units > proofUnits && s.orders == s.most {
		return false, s.fails
	}
	if s.orders++; !s.forgets || s.orders%2 == 0 {
		s.left -= s.takes
	}
	return true, nil
}

func (s *fakeShop) Count(context.Context, int64) ([]baseline.Count, error) {
	if !s.counted {
		return nil, nil
	}
	return []baseline.Count{{Store: "memory", Left: s.left, Orders: s.orders}}, nil
}

func (*fakeShop) Settle(context.Context) error         { return nil }
func (s *fakeShop) Clear(context.Context, int64) error { s.cleared++; return nil }
func (*fakeShop) Processes() map[string]int            { return nil }
func (s *fakeShop) Close() error                       { s.closed++; return nil }

func way(name string, s *fakeShop) baseline.Way {
	return baseline.Way{
		Name: name, Title: "the " + name, Does: "sells <from> memory", Buyers: []int{2, 4},
		Open: func(context.Context, *baseline.Place) (baseline.Shop, error) { return s, nil },
	}
}

func empty() baseline.Way { return way(baseline.Empty, &fakeShop{}) }

// run compares for a moment.
func run(t *testing.T, ctx context.Context, tell func(string), ways ...baseline.Way) (*Report, error) {
	t.Helper()
	return Run(ctx, baseline.NewPlace(t.TempDir(), "none"), Config{
		Ways: ways, For: 300 * time.Millisecond, Rounds: 3, // a busy machine gives a goroutine no core for a while
		Tell: func(format string, values ...any) {
			line := fmt.Sprintf(format, values...)
			t.Log(line)
			if tell != nil {
				tell(line)
			}
		},
	})
}

func TestRunMeasuresEachWayInEachRound(t *testing.T) {
	t.Parallel()
	r, err := run(t, t.Context(), nil, empty(), way("good", &fakeShop{counted: true, takes: 1}))
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	for i, judged := range []bool{false, true} {
		row := r.Rows[i]
		if len(row.Turns) != 3 || row.PerSecond.Median <= 0 || row.PerSecond.Min > row.PerSecond.Median || row.PerSecond.Median > row.PerSecond.Max {
			t.Errorf("%s: %+v", row.Name, row)
		}
		if row.Ratio.Median <= 0 || row.Latency.P50MS < 0.05 || row.Latency.P999MS < row.Latency.P50MS {
			t.Errorf("%s: ratio %+v, latency %+v", row.Name, row.Ratio, row.Latency)
		}
		if row.Judged != judged || row.SoldOut != judged || row.Wrong() {
			t.Errorf("%s: judged %v, sold out %v, oversold %d, lost %d", row.Name, row.Judged, row.SoldOut, row.Oversold, row.Lost)
		}
	}
	if r.Rows[0].Ratio != (Spread{1, 1, 1}) {
		t.Errorf("the base's ratio is %+v", r.Rows[0].Ratio)
	}
}

func TestRunFindsWrongStores(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shop           *fakeShop
		oversold, lost bool
	}{
		"sells what it has not":   {shop: &fakeShop{counted: true, takes: 1, credit: 3}, oversold: true},
		"takes more than it sold": {shop: &fakeShop{counted: true, takes: 2}, lost: true},
		"forgets what it sold":    {shop: &fakeShop{counted: true, takes: 1, forgets: true}, oversold: true},
	} {
		r, err := run(t, t.Context(), nil, empty(), way("bad", c.shop))
		if row := r.Rows[1]; err != nil || !errors.Is(r.Err(), ErrWrong) || row.Oversold > 0 != c.oversold || row.Lost > 0 != c.lost {
			t.Errorf("%s: oversold %d, lost %d, %v, %v", name, row.Oversold, row.Lost, err, r.Err())
		}
	}
}

// A way that fails leaves the others their figures.
func TestRunGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	r, err := run(t, t.Context(), nil, empty(), way("broken", &fakeShop{counted: true, takes: 1, fails: broken}), way("good", &fakeShop{counted: true, takes: 1}))
	if err != nil || r.Err() == nil || errors.Is(r.Err(), ErrWrong) || !strings.Contains(r.Err().Error(), "broken: broken pipe") {
		t.Fatal(err, r.Err())
	}
	if len(r.Rows[1].Turns) != 0 || len(r.Rows[2].Turns) != 3 || r.Rows[2].Failure != "" {
		t.Errorf("%d and %d turns", len(r.Rows[1].Turns), len(r.Rows[2].Turns))
	}
}

// Rows for units that do not last for a turn measure nothing.
func TestRunRefusesATurnThatSoldAll(t *testing.T) {
	t.Parallel()
	r, err := run(t, t.Context(), nil, empty(), way("rows", &fakeShop{counted: true, takes: 1, most: 10}))
	if err != nil || !strings.Contains(r.Rows[1].Failure, "a turn sold all") || r.Rows[1].Wrong() {
		t.Fatal(err, r.Err())
	}
}

// A turn in which nothing is sold has no figure.
func TestRunRefusesATurnThatSoldNothing(t *testing.T) {
	t.Parallel()
	r, err := run(t, t.Context(), nil, empty(), way("idle", &fakeShop{counted: true, takes: 1, idle: true}))
	if row := r.Rows[1]; err != nil || row.Failure != "a turn sold nothing" || row.Wrong() || len(row.Turns) != 0 {
		t.Fatal(err, r.Err())
	}
}

// The order of the ways changes from round to round, so that what one leaves behind does not always meet the same. Each way has
// its turns with as many buyers as it is fastest with, and a clean shop, which is closed at the end.
func TestRunTreatsWaysAlike(t *testing.T) {
	t.Parallel()
	crowded, calm := &fakeShop{counted: true, takes: 1, crowd: 3}, &fakeShop{counted: true, takes: 1}
	var order []string
	r, err := run(t, t.Context(), func(line string) {
		var round int
		if n, _ := fmt.Sscanf(line, "round %d of 3, ", &round); n == 1 {
			name, _, _ := strings.Cut(line[strings.Index(line, ", ")+2:], ":")
			order = append(order, fmt.Sprint(round, " ", name))
		}
	}, empty(), way("crowded", crowded), way("calm", calm))
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	want := []string{"1 empty", "1 crowded", "1 calm", "2 crowded", "2 calm", "2 empty", "3 calm", "3 empty", "3 crowded"}
	if !slices.Equal(order, want) {
		t.Errorf("in the order %q, want %q", order, want)
	}
	if n := r.Rows[1].Buyers; n != 2 {
		t.Errorf("%d buyers, where a third one makes all of them slow", n)
	}
	for name, s := range map[string]*fakeShop{"crowded": crowded, "calm": calm} {
		if s.closed != 1 || s.stocked == 0 || s.cleared != s.stocked {
			t.Errorf("%s: %d times stocked, %d times cleared, %d times closed", name, s.stocked, s.cleared, s.closed)
		}
	}
}

// Whoever ends the run keeps what was measured until then.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := run(t, ctx, func(line string) {
		if strings.HasPrefix(line, "round 2") {
			cancel()
		}
	}, empty(), way("good", &fakeShop{counted: true, takes: 1}))
	if !errors.Is(err, context.Canceled) || r.Err() != nil || !r.Measured() {
		t.Fatal(err, r.Err())
	}
	if turns := len(r.Rows[0].Turns) + len(r.Rows[1].Turns); turns != 3 || r.Rows[1].Ratio.Median <= 0 {
		t.Errorf("%d turns, ratio %+v", turns, r.Rows[1].Ratio)
	}
	if about := r.about(); !strings.HasPrefix(about, "2 of 3 rounds") {
		t.Errorf("it says: %s", about)
	}
}

// The page needs nothing from elsewhere, and shows each way as text.
func TestPageStandsAlone(t *testing.T) {
	t.Parallel()
	r, err := run(t, t.Context(), nil, empty(), way("good", &fakeShop{counted: true, takes: 1}), way("bad", &fakeShop{counted: true, takes: 2}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []string{"src=", "href=", "url(", "<script", "ZgotmplZ"} {
		if strings.Contains(b.String(), foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
	if tables := strings.Count(b.String(), "<table>"); tables != strings.Count(b.String(), "<caption>") || tables != strings.Count(b.String(), `role="region"`) {
		t.Errorf("%d tables, and not each has a caption and scrolls", tables)
	}
	if strings.Contains(b.String(), "<th>") {
		t.Error("a header cell does not say of what it is one")
	}
	for _, want := range []string{"the empty", "the good", "sells &lt;from&gt; memory", `class="bad"`, fmt.Sprintf("%.0f", r.Rows[1].PerSecond.Median)} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestTableHasARowPerWay(t *testing.T) {
	t.Parallel()
	r := &Report{Rows: []Row{
		{Name: "a", Judged: true, Turns: []Turn{{}}, PerSecond: Spread{Median: 1234.5}, Ratio: Spread{0.5, 0.04, 0.6}, CPU: map[string]float64{"client": 1.25}, CPUTotal: Spread{Median: 1.25}},
		{Name: "b", Failure: "x", Judged: true, Oversold: 2, Lost: 1},
	}}
	var got []string
	for _, row := range r.Tables()[0][1:] {
		got = append(got, fmt.Sprint(row...))
	}
	want := []string{fmt.Sprint("a", "1234", "0.50", "(0.040 to 0.60)", "0.00", "0.00", "0.00", "1.2", "0"), fmt.Sprint("b", "-", "-", "-", "-", "-", "-", "-", "2, lost 1")}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAgainstJudgesByTheRangesOfTheRounds(t *testing.T) {
	t.Parallel()
	row := func(name string, ratio, cpu Spread) Row {
		return Row{Name: name, Turns: make([]Turn, 4), Ratio: ratio, CPUTotal: cpu, CPU: map[string]float64{"client": 1}}
	}
	old := &Report{Version: 1, Kind: kind, Base: "empty", Rounds: 3, Rows: []Row{
		row("empty", Spread{1, 1, 1}, Spread{10, 9, 11}), row("faster", Spread{0.5, 0.4, 0.6}, Spread{20, 19, 21}),
		row("same", Spread{0.5, 0.4, 0.6}, Spread{20, 19, 21}), row("near", Spread{0.5, 0.4, 0.6}, Spread{20, 19, 21}),
		row("gone", Spread{}, Spread{}),
	}}
	now := &Report{Version: 1, Kind: kind, Base: "empty", Rounds: 5, Rows: []Row{
		row("empty", Spread{1, 1, 1}, Spread{10, 9, 11}), row("faster", Spread{0.7, 0.61, 0.8}, Spread{30, 21.5, 40}),
		row("same", Spread{0.55, 0.45, 0.65}, Spread{19, 18, 20}), row("near", Spread{0.63, 0.55, 0.7}, Spread{17, 16, 19.5}),
		row("new", Spread{}, Spread{}),
	}}
	path := filepath.Join(t.TempDir(), "old.json")
	text, err := json.Marshal(old)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if old, err = ReadFile(path); err != nil {
		t.Fatal(err)
	}
	now.Compare(old)
	var got []string
	for _, c := range now.Against.Changes {
		got = append(got, c.Name+" "+c.Figure+" "+c.Says)
	}
	want := []string{
		"empty CPU us within the noise", "faster of empty better", "faster CPU us worse", "same of empty within the noise", "same CPU us within the noise",
		"near of empty within the noise", "near CPU us within the noise", // their ranges overlap, without each other's medians
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if times := now.Against.Changes[1].Times(); times != "1.40" {
		t.Errorf("a ratio of 0.7 where it was 0.5: %s times", times)
	}
	now.Rows[1].Turns = make([]Turn, 3) // of three rounds nobody can tell
	now.Compare(old)
	for _, c := range now.Against.Changes {
		if few := c.Name == now.Rows[1].Name; few != (c.Says == "noise not known") {
			t.Errorf("%+v", c)
		}
	}
	if len(now.Against.Differ) != 1 || !strings.Contains(now.Against.Differ[0], "5 rounds") {
		t.Errorf("differ: %q", now.Against.Differ)
	}
	if tables := now.Tables(); len(tables) != 2 || len(tables[1]) != 1+len(want) {
		t.Errorf("tables %v", tables)
	}
	for wrong, text := range map[string]string{"something else": `{"version":1}`, "take a newer one": `{"version":9,"kind":"compare"}`, "not a result of": `[`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
