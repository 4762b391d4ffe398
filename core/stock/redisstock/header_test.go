package redisstock

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/lua"
)

// header has the promises of a script's header.
type header struct {
	flags    string
	keys     []string // names, in order; the last may be repeated
	repeated bool
	args     int // fixed arguments, before those that there may be any number of
	codes    map[string]int
	hasReply bool
	retry    string
}

var (
	keyLine  = regexp.MustCompile(`^-- KEYS\[(\d*)(\.\.)?\] (\w+) `)
	argLine  = regexp.MustCompile(`^-- ARGV\[(\d*)(\.\.)?\] \w+ `)
	codeLine = regexp.MustCompile(`^-- CODE (\d+) ([A-Z_]+) +\S`)
)

// readHeader reads the header of a script and its form: what it is, KEYS, ARGV, RETURN, CODE, ERR,
// RETRY, in this order.
func readHeader(t *testing.T, script lua.Script) header {
	t.Helper()
	lines := strings.Split(script.Source, "\n")
	flags, ok := strings.CutPrefix(lines[0], "#!lua")
	if !ok || !strings.HasPrefix(lines[1], "-- "+script.Name+" ") || lines[2] != "--" {
		t.Fatalf("%s begins with %q", script.Name, lines[:3])
	}
	h := header{flags: strings.TrimPrefix(flags, " flags="), codes: map[string]int{}}
	order, last := []string{"KEYS", "ARGV", "RETURN", "CODE", "ERR", "RETRY"}, 0
	for _, line := range lines[3:] {
		if !strings.HasPrefix(line, "-- ") {
			break
		}
		word := strings.FieldsFunc(line[3:], func(r rune) bool { return r == ' ' || r == '[' })[0]
		at := slices.Index(order, word)
		if at < 0 {
			break // the first line of what is included
		}
		if at < last {
			t.Errorf("%s: %s comes after %s", script.Name, word, order[last])
		}
		last = at
		switch word {
		case "KEYS":
			m := keyLine.FindStringSubmatch(line)
			if len(m) > 0 && m[1] == "" && h.repeated {
				break // more of them, behind those that there may be any number of
			}
			if len(m) == 0 || h.repeated || m[1] != strconv.Itoa(len(h.keys)+1) {
				t.Fatalf("%s: key %q", script.Name, line)
			}
			h.keys, h.repeated = append(h.keys, m[3]), m[2] != ""
		case "ARGV":
			m := argLine.FindStringSubmatch(line)
			if len(m) == 0 || (m[1] != "" && m[1] != strconv.Itoa(h.args+1)) {
				t.Fatalf("%s: argument %q", script.Name, line)
			}
			if m[2] == "" {
				h.args++
			}
		case "RETURN":
			h.hasReply = true
		case "CODE":
			m := codeLine.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("%s: code %q", script.Name, line)
			}
			h.codes[m[2]], _ = strconv.Atoi(m[1])
		case "RETRY":
			h.retry = strings.Fields(line)[2]
		}
	}
	return h
}

// spy is a client that notes what it is to send, and sends nothing.
type spy struct {
	rueidis.Client
	sent [][]string
}

func newSpy(t testing.TB) *spy {
	t.Helper()
	// A single client is there even without a server, and its builder is all that is used of it.
	options := redis.Options([]string{"127.0.0.1:1"}, "", "")
	options.ForceSingleClient = true
	offline, err := rueidis.NewClient(options)
	if offline == nil {
		t.Fatal(err)
	}
	t.Cleanup(offline.Close)
	return &spy{Client: offline}
}

func (s *spy) Do(_ context.Context, command rueidis.Completed) rueidis.RedisResult {
	s.sent = append(s.sent, slices.Clone(command.Commands()))
	return rueidis.NewErrorResult(context.Canceled)
}

func (s *spy) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	results := make([]rueidis.RedisResult, len(commands))
	for i, c := range commands {
		results[i] = s.Do(ctx, c)
	}
	return results
}

// calls are the commands by which the store calls each script, for one request each.
func calls(t *testing.T) map[string][]string {
	t.Helper()
	client := newSpy(t)
	s, err := New(client, Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}

	s.Trust([]stock.Mark{{Nonce: 1}})
	cell := stock.Cell{SKU: 1}
	for _, op := range []stock.Op{
		stock.OpReserve, stock.OpDeduct, stock.OpConfirm, stock.OpRelease, stock.OpAdjust, stock.OpReturn, stock.OpExtend,
	} {
		v := &stock.Vector{Op: op, Requests: []stock.Request{{
			Cell: cell, User: 1, Quantity: 1, Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Reason: "r"}, DeadlineMS: 1, Reason: "r",
		}}}
		s.Do(t.Context(), v)
	}
	basket, err := stock.NewBasket(1, "k", []stock.Line{{Cell: cell, Quantity: 1}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []stock.Op{stock.OpGather, stock.OpVoid, stock.OpDecide} {
		s.Do(t.Context(), &stock.Vector{Op: op, Requests: []stock.Request{{
			ID: basket.ID(), Cell: cell, User: 1, Quantity: 1, Part: &stock.Part{Home: &basket, To: stock.BasketHeld},
		}}})
	}
	_, _ = s.Undecided(t.Context(), 0, 0, 0, 1)
	_, _, _ = s.Cells(t.Context(), []stock.Cell{cell})
	_, _ = s.due(t.Context(), 0, 1)
	_ = s.expire(t.Context(), 0, []string{string(make([]byte, poolBytes+stock.ReservationBytes))}, &stock.Sweep{})
	_, _ = s.Forget(t.Context(), 0, 1)
	_, _ = s.Register(t.Context(), 0, 0, []int64{1})

	bySum := map[string]string{}
	for name, script := range s.scripts {
		bySum[script.SHA1] = name
	}
	byName := map[string][]string{}
	for _, command := range client.sent {
		if command[0] != "EVALSHA" || bySum[command[1]] == "" {
			t.Errorf("the store sent %q", command)
		}
		byName[bySum[command[1]]] = command
	}
	return byName
}

// TestHeaders compares three things: the headers of the scripts, the code of the scripts, and the calls and answers of
// the store.
func TestHeaders(t *testing.T) {
	t.Parallel()
	flags := map[string]string{
		"reserve": "", "deduct": "", "adjust": "", "extend": "", "return": "", "register": "",
		// Scripts that only give units back or settle run even if memory is full.
		"confirm": "allow-oom", "release": "allow-oom", "expire": "allow-oom", "forget": "allow-oom",
		"gather": "", "void": "allow-oom", "decide": "allow-oom", "undecided": "no-writes",
		"due": "no-writes", "read": "no-writes", signScript: "no-writes",
	}
	verdicts := map[string]int{}
	for v := range stock.Verdicts {
		verdicts[strings.ToUpper(stock.Verdict(v).String())] = v
	}
	scripts, err := lua.All()
	if err != nil {
		t.Fatal(err)
	}
	sent := calls(t)
	if len(scripts) != len(flags) || len(sent) != len(flags)-1 { // nobody calls the sign
		t.Errorf("%d scripts of which %d are called, want %d", len(scripts), len(sent), len(flags))
	}
	for _, script := range scripts {
		t.Run(script.Name, func(t *testing.T) {
			h := readHeader(t, script)
			if want, ok := flags[script.Name]; !ok || h.flags != want {
				t.Errorf("flags are %q, want %q", h.flags, want)
			}
			if !h.hasReply || h.retry != "safe" {
				t.Errorf("RETURN given: %v; RETRY %q, want safe: the same call may be sent again", h.hasReply, h.retry)
			}
			for name, number := range h.codes {
				if want, ok := verdicts[name]; !ok || number != want {
					t.Errorf("CODE %d %s, want %d", number, name, want)
				}
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(code(script.Source)) {
					t.Errorf("CODE %s is promised but never used", name)
				}
			}
			command := sent[script.Name]
			if script.Name == signScript {
				return
			}
			if len(command) == 0 {
				t.Fatal("the store does not call it")
			}
			n, _ := strconv.Atoi(command[2])
			keys, args := command[3:3+n], command[3+n:]
			for i, key := range keys {
				key = strings.TrimSuffix(strings.TrimPrefix(key, "{p0}:"), ":0")
				if i >= len(h.keys) || key != h.keys[i] {
					t.Errorf("key %d is %s, the header has %v", i+1, key, h.keys)
				}
			}
			if len(keys) != len(h.keys) && !h.repeated {
				t.Errorf("%d keys, the header has %d", len(keys), len(h.keys))
			}
			if len(args) < h.args {
				t.Errorf("%d arguments, the header has at least %d", len(args), h.args)
			}
		})
	}
}

// upkeepCalls are the commands by which repairs and restores call their scripts.
func upkeepCalls(t *testing.T) map[string][]string {
	t.Helper()
	client := newSpy(t)
	s, err := New(client, Config{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Trust([]stock.Mark{{Nonce: 1}})
	r, err := NewRestorer(client, 1, "test", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cell := stock.Cell{SKU: 1}
	_, _ = s.AmendCount(t.Context(), cell, 1, 1, 2)
	_, _, _, _ = s.Shift(t.Context(), &Shift{Cell: cell, Epoch: 1})
	_, _ = r.Clear(t.Context(), 0, nil, []uint32{0})
	_ = r.Refill(0, []uint32{0}, 1).Close(t.Context())
	_, _ = s.Vouch(t.Context(), UserSet{}, stock.Mark{Nonce: 1}, 1)
	byName := map[string][]string{}
	for _, name := range []string{"amend", "shift", "clear", "refill", "vouch"} {
		script, err := lua.Upkeep(name)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(client.sent, func(command []string) bool { return command[0] == "EVAL" && command[1] == script.Source })
		if at < 0 {
			t.Fatalf("nobody sends %s", name)
		}
		byName[name] = client.sent[at]
	}
	return byName
}

// TestUpkeepHeaders compares the headers of the scripts that repair and restore with the calls of the store.
func TestUpkeepHeaders(t *testing.T) {
	t.Parallel()
	flags := map[string]string{"clear": "allow-oom", "vouch": "allow-oom"} // the others grow data, and stop on a full server before they write
	keys := map[string]string{"hash": "buyers:0", "list": "due", "buyers": "buyers:0", "registered": "registered:0"}
	for name, command := range upkeepCalls(t) {
		script, err := lua.Upkeep(name)
		if err != nil {
			t.Fatal(err)
		}
		script.Name = name
		h := readHeader(t, script)
		if h.flags != flags[name] || !h.hasReply || h.retry != "safe" {
			t.Errorf("%s has the flags %q, want %q; RETURN given: %v; RETRY %q, want safe", name, h.flags, flags[name], h.hasReply, h.retry)
		}
		if want := map[string]int{
			"REFUSED": int(ShiftRefused), "DONE": int(ShiftDone), "REPLAYED": int(ShiftReplayed), "NEGATIVE": int(ShiftNegative),
		}; name == "shift" && !maps.Equal(h.codes, want) {
			t.Errorf("shift has the codes %v, want %v", h.codes, want)
		}
		n, _ := strconv.Atoi(command[2])
		for i, key := range command[3 : 3+n] {
			if key, want := strings.TrimPrefix(key, "{p0}:"), h.keys[min(i, len(h.keys)-1)]; key != want && key != keys[want] {
				t.Errorf("key %d of %s is %s, the header has %s", i+1, name, key, want)
			}
		}
		if n != len(h.keys) {
			t.Errorf("%s is sent with %d keys, the header has %d", name, n, len(h.keys))
		}
		if args := len(command) - 3 - n; args < h.args {
			t.Errorf("%s is sent with %d arguments, the header has at least %d", name, args, h.args)
		}
	}
}

// code is a script without comments and without the lines that give verdicts their numbers.
func code(source string) string {
	var lines []string
	for line := range strings.Lines(source) {
		line, _, _ = strings.Cut(line, "--")
		if !strings.Contains(line, `= "\`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// constants reads the numbers and escaped bytes that a script gives names to.
func constants(source string) map[string]int {
	found := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^local ([A-Z_, ]+) = ([^\n]+)$`).FindAllStringSubmatch(source, -1) {
		names, values := strings.Split(m[1], ", "), strings.Split(m[2], ", ")
		for i, name := range names {
			if n, err := strconv.Atoi(strings.Trim(values[i], `"\`)); err == nil {
				found[name] = n
			}
		}
	}
	return found
}

// TestConstants compares the numbers in the scripts with those in Go.
func TestConstants(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"CELL_BYTES": cellBytes, "RECORD_VERSION": valueVersion, "EXTENDED_VERSION": extendedVersion,
		"COUNTED": countedBit, "OK_COUNTED": countedBit | int(stock.VerdictOK),
		"STATE_HELD": int(stock.StateHeld), "STATE_CONFIRMED": int(stock.StateConfirmed),
		"STATE_RELEASED": int(stock.StateReleased), "STATE_EXPIRED": int(stock.StateExpired),
		"STATE_ADJUSTED": int(stock.StateAdjusted), "STATE_RETURNED": int(stock.StateReturned),
		"FLAG_FENCED": int(event.ShutFenced), "FLAG_BREACHED": int(event.ShutBreached),
		"FLAG_FROZEN":          int(event.AppendSettings(nil, stock.Settings{Frozen: true}, 0)[19]),
		"FLAG_REGISTERED_ONLY": int(event.AppendSettings(nil, stock.Settings{RegisteredOnly: true}, 0)[19]),
	}
	for v := range stock.Verdicts {
		want[strings.ToUpper(stock.Verdict(v).String())] = v
	}
	adjust, err := lua.Load("adjust")
	if err != nil {
		t.Fatal(err)
	}
	got := constants(adjust.Source)
	for name := range got {
		if _, ok := want[name]; !ok {
			delete(got, name) // places in lists, which are the script's own
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("constants in Lua (-Go +Lua):\n%s", diff)
	}
	for name, kind := range map[string]event.Kind{
		"reserve": event.KindReserve, "deduct": event.KindDeduct, "confirm": event.KindConfirm,
		"release": event.KindRelease, "expire": event.KindExpire, "return": event.KindReturn, "extend": event.KindExtend,
	} {
		script, err := lua.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := constants(script.Source)["KIND"]; got != int(kind) {
			t.Errorf("%s makes events of kind %d, want %d", name, got, kind)
		}
		state := "STATE_" + strings.ToUpper(kind.State().String())
		if !regexp.MustCompile(`(?m)^local KIND, STATE, .* = \d+, ` + state + `, `).MatchString(script.Source) {
			t.Errorf("%s leaves its reservations in another state than %s", name, state)
		}
	}
}

// TestDescribedLayouts compares the lists of fields in the scripts' comments with the lengths in Go.
func TestDescribedLayouts(t *testing.T) {
	t.Parallel()
	script, err := lua.Load("reserve")
	if err != nil {
		t.Fatal(err)
	}
	f := func(begin string, want int) {
		t.Helper()
		at := strings.Index(script.Source, begin)
		if at < 0 {
			t.Errorf("no description begins with %q", begin)
			return
		}
		text, _, _ := strings.Cut(script.Source[at:], "\nlocal")
		text, _, _ = strings.Cut(text, "\n-- Bit")
		sum := 0
		for _, m := range regexp.MustCompile(`[a-z_]+ (\d+)`).FindAllStringSubmatch(text, -1) {
			n, _ := strconv.Atoi(m[1])
			sum += n
		}
		if sum != want {
			t.Errorf("%q describes %d bytes, want %d", begin, sum, want)
		}
	}
	f("version 1, avail 5", cellBytes)
	f("version 1, state 1", recordBytes)
	for what, bytes := range map[string]int{
		"fences        %d bytes": positionBytes, "cells       %d bytes": stock.CellBytes,
		"ids          %d bytes": stock.ReservationBytes, "asks         %d bytes": askBytes,
	} {
		if text := fmt.Sprintf(what, bytes); !strings.Contains(script.Source, text) {
			t.Errorf("the header of reserve does not say %q", text)
		}
	}
}
