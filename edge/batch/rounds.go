package batch

// rounds decides which round the proofs of one partition share, and where a round begins. The prover guards it.
type rounds struct {
	proven proven
	busy   bool        // a round runs, or is about to
	next   *completion // the round after it; nil if nobody waits for one
}

// proven says how far Kafka has a partition's entries.
type proven struct {
	entry   string // Kafka has every entry up to this one
	forgets int    // how often that was forgotten
}

// join returns the round to wait for, and says whether the caller has to start it. That is never the round that runs,
// because it may have read the outbox before the effect was there.
func (r *rounds) join() (round *completion, begin bool) {
	if r.next == nil {
		r.next = newCompletion()
	}
	begin = !r.busy
	r.busy = true
	return r.next, begin
}

// begin returns the next round, and the entry after which it begins; nil if nobody waits for one.
func (r *rounds) begin() (round *completion, after proven) {
	round, r.next = r.next, nil
	r.busy = round != nil
	return round, r.proven
}

// end notes the last entry of a round, unless the round began with something that has been forgotten since.
func (r *rounds) end(after proven, last string) {
	if r.proven.forgets == after.forgets {
		r.proven.entry = last
	}
}

// forget makes the next round begin with the oldest entry.
func (r *rounds) forget() { r.proven = proven{forgets: r.proven.forgets + 1} }
