package redis_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/redis"
)

const greeting = "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n"

// hostile starts a server that greets as Redis does, and otherwise answers what answer says, line ends included. It
// returns its address. The server closes a connection after an answer that ends with hangUp.
func hostile(t *testing.T, answer func(command []string) string) string {
	t.Helper()
	return hostileAt(t, listen(t), answer)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// hostileAt is hostile at a place of its own, which it closes.
func hostileAt(t *testing.T, listener net.Listener, answer func(command []string) string) string {
	t.Helper()
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for in := bufio.NewReader(conn); ; {
					command, err := readCommand(in)
					if err != nil {
						return
					}
					text, bye := strings.CutSuffix(answerTo(command, answer), hangUp)
					if _, err := io.WriteString(conn, text); err != nil || bye {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

const hangUp = "<bye>"

func answerTo(command []string, answer func([]string) string) string {
	switch command[0] {
	case "HELLO":
		return greeting
	case "CLIENT":
		return "+OK\r\n"
	case "CLUSTER":
		return "-ERR This instance has cluster support disabled\r\n"
	}
	return answer(command)
}

func readCommand(in *bufio.Reader) ([]string, error) {
	count, err := readNumber(in)
	if err != nil {
		return nil, err
	}
	command := make([]string, count)
	for i := range command {
		length, err := readNumber(in)
		if err != nil {
			return nil, err
		}
		text := make([]byte, length+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:length])
	}
	return command, nil
}

func readNumber(in *bufio.Reader) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

func connect(t *testing.T, addr string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(redis.Options([]string{addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// TestHostileAnswers lets a server answer what no Redis should. The process lives on, the call fails and says why, and the
// next one gets its own answer.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"an answer too many":         {"+OK\r\n+OK\r\n", "no command asked for"},
		"a channel that nobody asks": {">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+OK\r\n", "no command asked for"},
		"a message within an answer": {"*1\r\n>1\r\n+x\r\n", "within an answer"},
		"another protocol":           {"HTTP/1.1 400 Bad Request\r\n\r\n", `begins with "HTTP/1.1 400 Bad Request"`},
		"an empty line":              {"\r\n", "a length is wrong"},
		"lines of Unix":              {"+OK\n", "CR LF"},
		"half an answer":             {"$10\r\nhalf" + hangUp, "EOF"},
		"a negative text":            {"$-5\r\n", "a length is wrong"},
		"a negative array":           {"*-7\r\n", "a length is wrong"},
		"a map that is null":         {"%-1\r\n", "a length is wrong"},
		"a null with a text":         {"_xy+OK\r\n", "a null or a boolean is wrong"},
		"a boolean with a text":      {"#txy+OK\r\n", "a null or a boolean is wrong"},
		"no boolean":                 {"#\r\n+OK\r\n", "a null or a boolean is wrong"},
		"no length":                  {"$\r\n", "a length is wrong"},
		"a stream of chunks":         {"$?\r\n;-4\r\n", "a length is wrong"},
		"an endless text":            {"$99999999999999\r\n", "a length is wrong"},
		"a large text":               {"$999999999\r\n", "takes more than"},
		"a large array":              {"*999999999\r\n", "takes more than"},
		"a large map":                {"%999999999\r\n", "takes more than"},
		"large arrays in each other": {strings.Repeat("*400000\r\n", 9), "takes more than"},
		"an array of long lines":     {"*1200\r\n" + strings.Repeat("+"+strings.Repeat("x", 60_000)+"\r\n", 1200), "takes more than"},
		"deep arrays":                {strings.Repeat("*1\r\n", 10_000_000), "deep in each other"},
		"an endless line":            {"+" + strings.Repeat("x", 1<<20), "a line has no end"},
		"a move to nowhere":          {"-MOVED\r\n", "too few words"},
		"a move by a proxy":          {"-ERR MOVED\r\n", "too few words"},
		"a question to nobody":       {"-ASK 1\r\n", "too few words"},
		"a redirection to nobody":    {"-REDIRECT\r\n", "too few words"},
		"a failure as a text":        {"!5\r\nMOVED\r\n", "begins with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t, hostile(t, func(command []string) string {
				if command[0] == "GET" {
					return c.answer
				}
				return "$4\r\ngood\r\n"
			}))
			for range 3 {
				// Without a deadline, so that the client reads on a goroutine of its own.
				ctx, cancel := context.WithCancel(t.Context())
				err := client.Do(ctx, client.B().Get().Key("k").Build()).Error()
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%.200v, want %q", err, c.want)
				}
				cancel()
				eventually(t, func() bool {
					text, err := client.Do(t.Context(), client.B().Echo().Message("m").Build()).ToString()
					return err == nil && text == "good"
				})
			}
		})
	}
}

// eventually waits until a connection that has just ended is replaced.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the client does not recover")
		}
	}
}

// TestMessagesBetweenAnswers lets a server send messages that nobody asks for, as servers may: the answers are not mixed up.
func TestMessagesBetweenAnswers(t *testing.T) {
	t.Parallel()
	asked := 0
	client := connect(t, hostile(t, func([]string) string {
		asked++
		return ">2\r\n$5\r\nnewer\r\n*2\r\n:1\r\n*0\r\n>3\r\n+unsubscribe\r\n_\r\n:0\r\n>0\r\n>2\r\n$10\r\ninvalidate\r\n*-1\r\n:" + strconv.Itoa(asked) + "\r\n"
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for want := range int64(100) {
		if got, err := client.Do(ctx, client.B().Dbsize().Build()).ToInt64(); err != nil || got != want+1 {
			t.Fatalf("answer %d is %d, %v", want+1, got, err)
		}
	}
}

// TestPingRefused gives a connection of one's own back while the server refuses PING, as it does while its disk is full:
// the client sends UNSUBSCRIBE and PING, and takes the second refusal for an answer to something else.
func TestPingRefused(t *testing.T) {
	t.Parallel()
	for _, refusal := range []string{"MISCONF Errors writing to the AOF file", "MASTERDOWN Link with MASTER is down", "LOADING Redis is loading", "BUSY running a script", "ERR what"} {
		addr := hostile(t, func(command []string) string {
			switch command[0] {
			case "PING":
				return "-" + refusal + "\r\n"
			case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
				return fmt.Sprintf(">3\r\n$%d\r\n%s\r\n_\r\n:0\r\n", len(command[0]), strings.ToLower(command[0]))
			case "DISCARD":
				return "-ERR DISCARD without MULTI\r\n"
			}
			return "$4\r\ngood\r\n"
		})
		client := connect(t, addr)
		for range 10 {
			conn, release := client.Dedicate()
			ctx, cancel := context.WithCancel(t.Context())
			if text, err := conn.Do(ctx, conn.B().Get().Key("k").Build()).ToString(); err != nil || text != "good" {
				t.Errorf("%s: a connection of one's own answers %q, %v", refusal, text, err)
			}
			release()
			cancel()
		}
	}
}

// TestHostileSentinels lets Sentinels, and the server that they name, answer with fewer words than the client looks at. It
// fails to connect, or lives on with the primary that it knows.
func TestHostileSentinels(t *testing.T) {
	t.Parallel()
	const channel = ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
	for name, c := range map[string]struct {
		primary, role, event, want string
		channels                   string // the answer to SUBSCRIBE; empty: each channel is subscribed
		again                      int    // how often the event ends the connection, until the test has seen enough
	}{
		"no primary":        {primary: "*0\r\n", want: "too few elements"},
		"no port":           {primary: "*1\r\n$9\r\n127.0.0.1\r\n", want: "too few elements"},
		"no role":           {role: "*0\r\n", want: "too few elements"},
		"a set of no roles": {role: "~0\r\n", want: "too few elements"},
		"a short Sentinel":  {event: ">3\r\n$7\r\nmessage\r\n$9\r\n+sentinel\r\n$8\r\nsentinel\r\n", again: 2},
		"a short switch":    {event: ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$9\r\nstock a b\r\n", again: 2},
		"a short reboot":    {event: ">3\r\n$7\r\nmessage\r\n$7\r\n+reboot\r\n$12\r\nmaster stock\r\n", again: 2},
		"no channel":        {event: "+OK\r\n"},
		"an unknown event":  {event: ">3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$1\r\nx\r\n"},
		"half a channel":    {event: ">1\r\n+subscribe\r\n"},
		"an error too late": {channels: channel + "-ERR no\r\n", again: 2},
		"no transaction":    {channels: "-QUEUED\r\n", again: 2},
		"a channel is left": {channels: channel + ">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n" + strings.Repeat(channel, 5), again: 2},
		"too many channels": {event: strings.Repeat(channel, 9)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := hostile(t, func(command []string) string {
				if command[0] != "ROLE" {
					return "$4\r\ngood\r\n"
				}
				return cmp.Or(c.role, "*1\r\n$6\r\nmaster\r\n")
			})
			host, port, _ := net.SplitHostPort(primary)
			events := make(chan bool, 100)
			sentinel := hostile(t, func(command []string) string {
				switch command[0] {
				case "PING":
					return "+PONG\r\n"
				case "SUBSCRIBE":
					var confirmed strings.Builder
					for _, channel := range command[1:] {
						fmt.Fprintf(&confirmed, ">3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(channel), channel)
					}
					select {
					case events <- true:
					default:
					}
					return cmp.Or(c.channels, confirmed.String()) + c.event
				case "SENTINEL":
					if command[1] == "GET-MASTER-ADDR-BY-NAME" {
						return cmp.Or(c.primary, fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port))
					}
					return "*0\r\n"
				}
				return ""
			})
			client, err := (&redis.Config{SentinelAddrs: []string{sentinel}, SentinelMaster: "stock", CallTimeout: time.Second}).Client()
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				return // the event came before the answers
			}
			for range c.again + 1 {
				<-events
			}
			client.Close()
		})
	}
}
