package telemetry

import (
	"slices"
	"strings"
)

// Kind is how a family of metrics is read: what Prometheus calls its type.
type Kind string

// The kinds of families.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Family declares one family of metrics. Whoever makes a metric names a declared family: /metrics and
// docs/metrics.md have what it means from here.
type Family struct {
	Name   string // sluice_<service>_<thing>_<unit>[_total]
	Kind   Kind
	Labels string // their names, separated by spaces
	Help   string
}

// Service is the directory of the package that has the metric. Every service that sells shows what
// belongs to core.
func (f Family) Service() string {
	return strings.Split(f.Name, "_")[1]
}

// Unit is what is counted or measured.
func (f Family) Unit() string {
	name := strings.TrimSuffix(f.Name, "_total")
	return name[strings.LastIndexByte(name, '_')+1:]
}

// Families are all that a service declares, in the order of their names; of every service, if none is
// named.
func Families(services ...string) []Family {
	var found []Family
	for _, f := range slices.Concat(coreFamilies, edgeFamilies, persisterFamilies) {
		if len(services) == 0 || slices.Contains(services, f.Service()) {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return found
}

var coreFamilies = []Family{
	{"sluice_core_build_info", Gauge, "version commit go", "Always 1; the labels say what the process was built from."},

	{"sluice_core_server_faults", Gauge, "server fault", "What is wrong with a server's settings or condition, as last looked at every 5 s; 0 if nothing is. unknown: it did not tell. /readyz?verbose has what to do."},

	{"sluice_core_redis_state_info", Gauge, "state", "1 for the state in which Redis was last seen, and 0 for the others: open, shut (nothing is sold before an edge has vetted it), partly_shut (some partitions are), unknown (it does not answer)."},

	{"sluice_core_script_seconds", Histogram, "script", "How long calls of a script took, as seen from here: network and queueing included."},
	{"sluice_core_script_verdicts_total", Counter, "script verdict", "Requests that a script decided, by its verdict."},
	{"sluice_core_script_failures_total", Counter, "script kind", "Calls of a script without a decision: not_applied (surely nothing happened), shut (Redis is shut), unknown (it may have happened), protocol (the answer makes no sense)."},

	{"sluice_core_outbox_published_entries_total", Counter, "", "Outbox entries that Kafka has acknowledged to this process."},
	{"sluice_core_outbox_dropped_entries_total", Counter, "", "Outbox entries that did not fit into the publisher's buffer; a relay publishes them later."},
	{"sluice_core_outbox_given_up_entries_total", Counter, "", "Outbox entries that Kafka did not take in time; a relay publishes them later."},
	{"sluice_core_outbox_publish_failures_total", Counter, "", "Requests to Kafka that failed; each is tried again until its entries are given up."},
	{"sluice_core_outbox_publish_seconds", Histogram, "", "How long entries took from the script's answer to Kafka's acknowledgement."},
	{"sluice_core_outbox_buffer_bytes", Gauge, "", "Memory of the entries that wait in this process for Kafka."},
	{"sluice_core_outbox_buffer_oldest_seconds", Gauge, "", "How long the oldest of them has waited; 0 if none waits."},

	{"sluice_core_relay_published_entries_total", Counter, "", "Outbox entries that the relay published, because nobody else was seen to."},
	{"sluice_core_relay_republished_entries_total", Counter, "", "Of them, those published again: Kafka has lost them, or their deletion failed."},
	{"sluice_core_relay_failures_total", Counter, "", "Looks of the relay at all outboxes in which something failed."},

	{"sluice_core_expiry_expired_reservations_total", Counter, "", "Reservations that this process expired."},
	{"sluice_core_expiry_forgotten_reservations_total", Counter, "", "Records of finished reservations that this process removed at the end of their retention."},
	{"sluice_core_expiry_failures_total", Counter, "", "Sweeps of a partition that failed."},
	{"sluice_core_expiry_late_seconds", Histogram, "", "How long after its deadline the oldest reservation of a sweep was expired."},
	{"sluice_core_expiry_lag_seconds", Gauge, "", "How long the oldest reservation that is known has been due and is not expired; 0 if none is."},
}

var edgeFamilies = []Family{
	{"sluice_edge_http_requests_total", Counter, "route outcome", "Answered requests by route and outcome: ok, replayed, or the code of the problem document."},
	{"sluice_edge_http_request_duration_seconds", Histogram, "route", "How long requests took from when they were read to their answer."},
	{"sluice_edge_http_panics_total", Counter, "", "Requests whose handler panicked: a bug; the log has the stack."},
	{"sluice_edge_http_unexpected_errors_total", Counter, "", "Requests that ended in an error that nobody foresaw: a bug; the log has it."},
	{"sluice_edge_http_connections", Gauge, "", "Open connections."},
	{"sluice_edge_http_max_connections", Gauge, "", "Connections that there may be at once: --connections-max, or fewer where the process may have too few open files."},
	{"sluice_edge_http_accept_failures_total", Counter, "", "Attempts to accept a connection that failed, mostly because the process had no more files; the connection waits."},
	{"sluice_edge_http_unnamed_requests_total", Counter, "reason", "Requests of trusted proxies that name no address, and so count against the proxy: missing (no X-Forwarded-For), unreadable (its last member is no address)."},
	{"sluice_edge_http_refused_connections_total", Counter, "reason", "Connections refused because there were too many: full (of all), crowded (of their address)."},

	{"sluice_edge_batch_vector_requests", Histogram, "op", "Requests that one script call decided together."},
	{"sluice_edge_batch_wait_seconds", Histogram, "", "How long the first request of each vector waited to be sent."},
	{"sluice_edge_batch_queued_requests", Gauge, "", "Requests that wait to be sent to Redis."},
	{"sluice_edge_batch_in_flight_calls", Gauge, "", "Script calls under way."},
	{"sluice_edge_batch_refused_requests_total", Counter, "reason", "Requests refused before Redis: full (the queue is)."},
	{"sluice_edge_batch_unpublished_entries_total", Counter, "", "Outbox entries that the publisher had no room for; a relay publishes them later."},
	{"sluice_edge_batch_second_rounds_total", Counter, "ack", "Further calls that it took to prove the acknowledge level of an answer."},
	{"sluice_edge_batch_panics_total", Counter, "", "Script calls that panicked here: a bug; the log has the stack, the requests are unknown."},

	{"sluice_edge_cache_cells", Gauge, "", "Cells whose state this edge remembers."},
	{"sluice_edge_cache_reads_total", Counter, "from", "States of cells that were asked for, by where they were found: memory or store (Redis)."},

	{"sluice_edge_screen_known_cells", Gauge, "", "Cells that the filters of known SKUs hold."},
	{"sluice_edge_screen_known_complete_ratio", Gauge, "", "Share of partitions whose filter is complete; only there a negative is certain."},
	{"sluice_edge_screen_known_fill_ratio", Gauge, "", "Share of bits that are set in the fullest filter; above 0.5 it lets too much pass until its next scan."},
	{"sluice_edge_screen_known_false_positive_ratio", Gauge, "", "Measured share of unknown SKUs that the filters let pass; NaN before the first."},
	{"sluice_edge_screen_known_false_positives_total", Counter, "", "Unknown SKUs that the filters let pass, as Redis then said."},
	{"sluice_edge_screen_known_refused_lookups_total", Counter, "", "Unknown SKUs refused without a script call."},
	{"sluice_edge_screen_known_shed_lookups_total", Counter, "", "SKUs refused as overloaded, because too many unknown ones were asked for to check each."},
	{"sluice_edge_screen_known_unsure_lookups_total", Counter, "", "SKUs that passed because their filter was not complete, or could not be checked."},
	{"sluice_edge_screen_known_healed_lookups_total", Counter, "", "SKUs that a filter lacked although Redis has them; it has them now."},
	{"sluice_edge_screen_soldout_answered_requests_total", Counter, "", "Requests answered sold_out without Redis."},
	{"sluice_edge_screen_soldout_followed_partitions", Gauge, "", "Partitions whose outbox is followed to learn of returned stock."},
	{"sluice_edge_screen_soldout_bases_total", Counter, "", "Times that following a partition began, with the ids of all its reservations."},
	{"sluice_edge_screen_soldout_gaps_total", Counter, "", "Times that following ended because an event was missing."},

	{"sluice_edge_gate_openings_total", Counter, "", "Times that this edge opened Redis after vetting it."},
	{"sluice_edge_gate_failures_total", Counter, "", "Looks at whether Redis is open, and attempts to open it, that failed."},

	{"sluice_edge_outbox_entries", Gauge, "", "Outbox entries in Redis, which are not in MySQL yet."},
	{"sluice_edge_outbox_fullest_partition_entries", Gauge, "", "Entries of the fullest outbox; at --outbox-entries-max nothing is taken in its partition."},
	{"sluice_edge_outbox_oldest_seconds", Gauge, "", "Age of the oldest outbox entry; 0 if there is none."},
}

var persisterFamilies = []Family{
	{"sluice_persister_ledger_rows_total", Counter, "", "Events that were written to the ledger."},
	{"sluice_persister_duplicate_events_total", Counter, "", "Events that the ledger had already, which is harmless."},
	{"sluice_persister_batches_total", Counter, "", "Batches of messages that were applied, one transaction each."},
	{"sluice_persister_batch_events", Histogram, "", "Events of one batch."},
	{"sluice_persister_transaction_seconds", Histogram, "", "How long an attempt at the transaction of a batch took."},
	{"sluice_persister_transaction_retries_total", Counter, "reason", "Transactions that failed and were tried again, or taken apart, by why."},
	{"sluice_persister_blocked_workers", Gauge, "reason", "Workers whose batch MySQL has refused at least once and has not taken since, by why."},
	{"sluice_persister_dead_letters_total", Counter, "reason", "Dead letters that this process wrote: what could not be applied, by why."},
	{"sluice_persister_unread_messages", Gauge, "", "Messages of the assigned Kafka partitions that are not applied yet."},
	{"sluice_persister_lag_seconds", Gauge, "", "How old the newest applied event is; 0 if no message is unread."},
	{"sluice_persister_fetch_failures_total", Counter, "", "Fetches from Kafka that failed."},
	{"sluice_persister_offset_gaps_total", Counter, "", "Times that Kafka had lost messages before the next one, by compaction for example. The relay publishes them again."},
	{"sluice_persister_offset_resets_total", Counter, "", "Partitions read from their beginning, because Kafka does not know the offset any more."},
	{"sluice_persister_group_generations_total", Counter, "", "Generations of the consumer group that this process took part in."},
	{"sluice_persister_outbox_deleted_entries_total", Counter, "", "Outbox entries that were deleted, since MySQL has their events."},
	{"sluice_persister_outbox_delete_failures_total", Counter, "", "Deletions of outbox entries that failed; they are tried again."},
	{"sluice_persister_outbox_left_entries_total", Counter, "", "Outbox entries that were left in Redis, because too many waited or Redis refused; the relay publishes them again."},
	{"sluice_persister_unresolved_dead_letters", Gauge, "reason", "Dead letters that nobody has resolved, by why; the same in every persister. NaN while MySQL does not tell."},
	{"sluice_persister_shut_cells", Gauge, "kind", "Cells that are shut until they are repaired: fenced (Redis lost acknowledged effects) or breached (counters that do not add up). Each persister has those of its Kafka partitions: sum them. NaN before it has seen all of them."},
	{"sluice_persister_shut_cells_age_seconds", Gauge, "", "Age of that figure: how long ago the partition that was left alone for longest was looked at."},
	{"sluice_persister_applied_mark_moves_total", Counter, "", "Marks of cells moved to where their events are in the ledger without a gap."},
}
