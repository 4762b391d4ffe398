package load

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"sluice/bench/report"
)

// openWorker has one connection of an open loop.
type openWorker struct {
	*open
	shard   *shard
	conn    *Conn
	unwatch func() bool   // of the end of the run, for the connection
	used    time.Duration // when the connection was last used
	buf     []byte
}

func (w *openWorker) run() {
	defer w.hangUp()
	for r := range w.jobs {
		w.idle.Add(-1)
		busy := w.busy.Add(1)
		for peak := w.peak.Load(); busy > peak && !w.peak.CompareAndSwap(peak, busy); peak = w.peak.Load() {
		}
		w.serve(r)
		w.busy.Add(-1)
		w.idle.Add(1)
	}
}

func (w *openWorker) hangUp() {
	if w.conn != nil {
		w.unwatch()
		_ = w.conn.Close()
		w.conn = nil
	}
}

// serve sends a request and decides what comes of it.
func (w *openWorker) serve(r *request) {
	patience := r.visit.At + w.crowd.Patience
	impatient := r.call == reserve && r.visit.Impatient
	switch {
	case w.hard.Err() != nil, r.visit.WarmUp && !r.free && w.since() >= w.crowd.WarmUp: // what waits then would only delay the others
		w.leave(r, report.LackTime)
		return
	case impatient && w.since() >= patience:
		w.leave(r, report.LackConnections)
		return
	}
	a, lack := w.exchange(r, patience)
	if lack != "" {
		w.leave(r, lack)
		return
	}
	now := w.since()
	w.shard.end(r, &a, now, w.inTime(now))
	r.word, r.answered = a.word, now
	r.unknown = r.unknown || a.word == report.Unknown
	if a.again && r.repeats < w.crowd.Retries && a.code != codeGaveUp {
		next := *r
		next.repeats++
		next.planned = now + pauseBefore(next.repeats, a.after)
		switch {
		case impatient && next.planned >= patience: // nobody is there then
		case w.again(&next):
			return
		default:
			w.drop(&next, report.LackPlaces)
		}
	}
	w.decide(r, &a, now)
}

// leave ends a request that is never sent.
func (w *openWorker) leave(r *request, lack report.Lack) {
	w.shard.leave(r, lack)
	w.giveUp(r)
}

// pauseBefore is how long a client waits before a repetition: as long as the server asked for, and then a while that is twice as
// long each time and never the same for all clients, or those that were turned away together would come back together.
func pauseBefore(repeat int, asked time.Duration) time.Duration {
	pause := min(backoff<<min(repeat-1, 10), pauseMax)
	return asked + pause/2 + rand.N(pause/2) // the plan has no part in it
}

// exchange sends the request, on a fresh connection if need be. If the generator lacked something and sent nothing, it says what.
func (w *openWorker) exchange(r *request, patience time.Duration) (answer, report.Lack) {
	begun := w.since()
	if w.conn != nil && begun-w.used > idleMax {
		w.hangUp()
	}
	var failed error
	if w.conn == nil {
		timeout, _ := w.waits(r, patience)
		if w.conn, failed = w.visit.Target.dial(timeout); failed == nil {
			conn := w.conn.net
			w.unwatch = context.AfterFunc(w.hard, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		} else if lack := lackOf(failed); lack != "" {
			return answer{}, lack
		}
	}
	w.shard.send(r, begun)
	if failed != nil {
		return answer{word: report.Refused, code: codeNotSent, again: true}, ""
	}
	w.buf = w.write(w.buf[:0], r)
	var late string
	w.conn.timeout, late = w.waits(r, patience) // less than before the connection was made
	response, err := w.conn.Do(w.buf)
	w.used = w.since()
	if err != nil {
		w.hangUp()
		return answer{word: report.Unknown, code: late, again: true}, ""
	}
	a := response.read()
	if response.close {
		w.hangUp()
	}
	return a, ""
}

// waits returns how long a request may still take, and what it is called if it takes longer.
func (w *openWorker) waits(r *request, patience time.Duration) (most time.Duration, late string) {
	if r.call == reserve && r.visit.Impatient {
		if left := patience - w.since(); left < w.visit.Timeout {
			return max(left, time.Millisecond), codeGaveUp
		}
	}
	return w.visit.Timeout, codeNoAnswer
}

// write appends the request. Its key is the same in each repetition, and no other's.
func (w *openWorker) write(buf []byte, r *request) []byte {
	key := w.visit.Run + "-" + strconv.FormatInt(r.visit.Number, 10) + "-" + strconv.Itoa(r.try)
	token := ""
	switch r.call {
	case confirm:
		token = w.visit.Service
	case reserve, release:
		token = w.visit.Token(r.visit.User)
	}
	if r.call == reserve {
		return appendPost(buf, "/v1/reservations", w.visit.Target.host, token, key, w.body(r))
	}
	name := callNames[r.call]
	return appendPost(buf, "/v1/reservations/"+r.id+"/"+name, w.visit.Target.host, token, key+"-"+name, "")
}

func (w *openWorker) body(r *request) string {
	body := ReserveBody(w.visit.SKU(r.visit.SKU), 1)
	if w.visit.SaleID != "" {
		body = body[:len(body)-1] + `,"sale_id":"` + w.visit.SaleID + `"}`
	}
	return body
}

// decide ends a request with its last answer, and has the shopper do what comes after it.
func (w *openWorker) decide(r *request, a *answer, now time.Duration) {
	if r.call != reserve {
		w.end(r)
		return
	}
	switch a.word {
	case report.Accepted, report.Replayed:
		w.units[r.visit.SKU].accepted.Add(1)
		r.visit.won.Store(true)
		w.settle(r, a.id, now)
		w.end(r)
		return
	case report.SoldOut:
		r.visit.lost.Store(true)
	case report.Limited, report.Shed, report.Unknown, report.Refused:
	}
	w.giveUp(r)
}

// settle has a reservation confirmed or released, after a while.
func (w *openWorker) settle(r *request, id string, now time.Duration) {
	next := &request{visit: r.visit, try: r.try, id: id, planned: now + w.crowd.SettleAfter}
	switch r.visit.After {
	case Forget:
		return
	case Confirm:
		next.call = confirm
	case Release:
		next.call = release
	}
	w.under.Add(1)
	if !w.again(next) {
		w.drop(next, report.LackPlaces)
		w.under.Add(-1)
	}
}
