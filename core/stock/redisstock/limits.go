package redisstock

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	// noticeField is the field of an entry of the limits' stream.
	noticeField = "n"
	// noticesKept is how long an edge's notice stays in Redis while others follow it. Readers are much faster.
	noticesKept = 5 * time.Second
)

// Notice is what an edge tells the others about the limits of users and addresses.
type Notice struct {
	ID   string // of its entry: the time of Redis in ms, and a number
	Text []byte // nil if no edge wrote the entry
}

// ExchangeNotices tells other edges a text, if it is not empty, and reads at most limit notices that any edge gave after the
// entry with an id. Without that id it reads none. told is the id of this edge's entry. Nothing here concerns stock, so
// the partition need not be open.
func (s *Store) ExchangeNotices(ctx context.Context, text []byte, after string, limit int) (told string, heard []Notice, err error) {
	err = s.within(ctx, 0, func(ctx context.Context, k *keys) error {
		var commands []rueidis.Completed
		if len(text) > 0 {
			commands = append(commands, s.giveNotice(k, text, after))
		}
		if after != "" {
			commands = append(commands, s.client.B().Xrange().Key(k.limits).Start("("+after).End("+").Count(int64(limit)).Build())
		}
		answers := s.client.DoMulti(ctx, commands...)
		if len(text) > 0 {
			if told, err = answers[0].ToString(); err != nil {
				return wrap("tell other edges", err)
			}
			answers = answers[1:]
		}
		if after == "" {
			return nil
		}
		heard, err = noticesOf(answers[0])
		return err
	})
	return told, heard, err
}

func (s *Store) giveNotice(k *keys, text []byte, after string) rueidis.Completed {
	// By the clock of Redis, as the last entry has it.
	ms, _, _ := strings.Cut(after, "-")
	last, _ := strconv.ParseInt(ms, 10, 64)
	oldest := max(last-noticesKept.Milliseconds(), 0)
	return s.client.B().Xadd().Key(k.limits).Minid().Threshold(strconv.FormatInt(oldest, 10)).
		Id("*").FieldValue().FieldValue(noticeField, string(text)).Build()
}

func noticesOf(answer rueidis.RedisResult) ([]Notice, error) {
	found, err := answer.AsXRangeSlices()
	if err != nil {
		return nil, wrap("hear other edges", err)
	}
	notices := make([]Notice, 0, len(found))
	for _, f := range found {
		n := Notice{ID: f.ID}
		if len(f.FieldValues) == 1 && f.FieldValues[0].Field == noticeField {
			n.Text = bytesOf(f.FieldValues[0].Value)
		}
		notices = append(notices, n)
	}
	return notices, nil
}
