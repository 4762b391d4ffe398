// Package reconcile says whether the stores have the same of each cell of the stock, and how they differ if not.
// Judge has all the rules. It does no I/O, and decides by what the readers have read. The readers change nothing.
//
// # The cut
//
// Redis, MySQL and Kafka have no common moment, and even a scan of one hash takes a while. So a cell is compared at
// one place in its history: the (epoch, seq) of its counters when they were read. This place is the cut. Everything
// else is brought to it:
//
//   - The outbox is read after the counters, and the ledger after the outbox. An entry leaves the outbox only after the
//     commit. So an event up to the cut is in one of the two. If it is in neither, it is missing. No event can hide by
//     moving on.
//   - Redis had everything that MySQL and Kafka had before the counters were read. So an event of theirs that lies
//     beyond the cut is one that Redis has lost.
//   - A reservation is read after the counters. Its record has the seq of the last event about it. If that event lies
//     up to the cut, the record shows the state at the cut. If it is later, the events up to the cut tell the earlier
//     state, and it is enough that the record exists.
//   - The count of a user has no seq. It is compared only if no event about the user is later than the cut.
//   - MySQL's tables are read in one transaction that sees one moment. A projection is compared with the ledger of that
//     moment.
//
// A cell that differs is read again before it is reported, because by then everything that was under way has arrived.
package reconcile
