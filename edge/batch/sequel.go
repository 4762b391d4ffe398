package batch

import (
	"errors"

	"sluice/core/stock"
)

// sequel has the consequences of the answer to a vector, beside waking its callers.
type sequel struct {
	forget  bool // how far Kafka has the partition's entries: another server may have taken the place of this one
	shut    bool // the server refuses because nobody has vetted it
	observe bool // remember the cells as the vector left them
	fenced  bool // some cell is fenced: somebody has seen effects that Redis has lost
	replica bool // some cell has the level replica
	publish bool // the outbox entry
	awaited bool // some cell has the level log, so that callers wait until Kafka has the entry
}

// sequelOf decides by the answer, and by the level of cells that did not choose one.
func sequelOf(v *stock.Vector, standard stock.Ack) sequel {
	if v.Err != nil {
		return sequel{forget: true, shut: errors.Is(v.Err, stock.ErrShut)}
	}
	s := sequel{observe: true, publish: v.Entry.ID != ""}
	for i := range v.Cells {
		s.fenced = s.fenced || v.Cells[i].Fenced
		switch v.Cells[i].Ack.Or(standard) {
		case stock.AckReplica:
			s.replica = true
		case stock.AckLog:
			s.awaited = s.publish
		case stock.AckDefault, stock.AckRedis:
		}
	}
	return s
}

// need names the proof that an effect still lacks at the level of its cell.
type need uint8

const (
	needNothing need = iota
	needReplay       // a call that waits for a replica: nobody knew the cell's level when the first one was sent
	needReplica      // a replica that has the effect: a call has waited for one in vain
	needEntry        // Kafka's answer for the entry of its own vector
	needProof        // Kafka's answer for the entries of earlier vectors
)

// needOf decides by the level of the cell and by the proofs of the call. For a replay it demands a proof of the earlier
// request's effect, because that request may have failed at this very point.
func needOf(level stock.Ack, op stock.Op, verdict stock.Verdict, p proof) need {
	switch level {
	case stock.AckReplica:
		switch {
		case !p.replicate:
			return needReplay
		case p.replicated:
			return needNothing
		case p.noReplica && op == stock.OpAdjust:
			return needNothing // an admin may set the level before there is a replica, and gets a warning
		}
		return needReplica
	case stock.AckLog:
		if verdict == stock.VerdictOK && p.delivery != nil {
			return needEntry
		}
		return needProof
	case stock.AckDefault, stock.AckRedis:
	}
	return needNothing
}
