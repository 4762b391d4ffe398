// Package reconcile compares each cell of the stock in all stores, and says how they differ. Judge has all the rules.
// It does no I/O, and decides by the data that the readers have read. The readers change nothing.
//
// # The cut
//
// Redis, MySQL and Kafka have no common moment, and even a scan of one hash takes a while. So a cell is compared at one
// place in its history: the (epoch, seq) of its counters when they were read. This place is the cut. Everything else is
// compared at the cut:
//
//   - The outbox is read after the counters, and the ledger after the outbox. An entry leaves the outbox only after the
//     commit. So an event up to the cut is in one of the two. If it is in neither, it is missing. An event that moves
//     from the outbox to the ledger meanwhile is seen in at least one of them.
//   - Redis had everything that MySQL and Kafka had before the counters were read. So if they have an event beyond the
//     cut, Redis has lost it.
//   - A reservation is read after the counters. Its record has the seq of the last event about it. If this event is not
//     beyond the cut, the record has the state at the cut. If it is beyond, the events up to the cut tell the earlier
//     state, and the record only has to exist.
//   - The count of a user has no seq. It is compared only if no event about the user is beyond the cut.
//   - MySQL's tables are read in one transaction, which sees them as of one moment. So a projection is compared with
//     the ledger of the same moment.
//
// If a cell differs, it is read again before it is reported. By then all events that were under way have arrived.
package reconcile
