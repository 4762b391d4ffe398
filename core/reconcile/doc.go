// Package reconcile says whether the stores have the same of the stock, cell by cell, and if not, how they differ.
// Its rules are pure functions of what was read: Judge is all of them. Its readers read, and change nothing.
//
// # The cut
//
// Redis, MySQL and Kafka have no common moment, and a scan of a hash has none of its own. So a cell is compared at
// a place in its history: the (epoch, seq) that its counters had when they were read. All else is brought to that
// place:
//
//   - An event up to the cut is in the outbox, or in the ledger, because its entry leaves the outbox only after the
//     commit. The outbox is read after the counters, and the ledger after the outbox. So one that is in neither is
//     missing, and no event can hide by moving on.
//   - What MySQL and Kafka had before the counters were read, Redis had too. One that is beyond the cut nevertheless is
//     an event that Redis has lost.
//   - A reservation is read after the counters. Its record carries the seq of the last event about it. Up to the cut
//     it is as it was there. A later one counts in its earlier state, which the events up to the cut tell; that the
//     record is there is enough.
//   - A buyer's count carries no seq. It is compared if no event about the buyer is later than the cut.
//   - MySQL's tables are read in one transaction that sees one moment. A projection is compared with the ledger of that
//     moment.
//
// A cell that differs is read again before it is reported: what is under way has arrived by then.
package reconcile
