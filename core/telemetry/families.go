package telemetry

import (
	"slices"
	"strings"
)

// Kind is the type that Prometheus gives a family of metrics.
type Kind string

// The kinds of families.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Family declares one family of metrics. Every metric of a program belongs to a declared family. /metrics and
// docs/metrics.md take its meaning from here.
type Family struct {
	Name   string // sluice_<service>_<thing>_<unit>[_total]
	Kind   Kind
	Labels string // their names, separated by spaces
	Help   string
}

// Service is the directory of the package that has the metric. Every service that sells shows the metrics of core.
func (f Family) Service() string {
	return strings.Split(f.Name, "_")[1]
}

// Unit names what a metric counts or measures.
func (f Family) Unit() string {
	name := strings.TrimSuffix(f.Name, "_total")
	return name[strings.LastIndexByte(name, '_')+1:]
}

// Families returns all families of a service, by name. Without a service it returns those of all.
func Families(services ...string) []Family {
	var found []Family
	for _, f := range slices.Concat(coreFamilies, edgeFamilies, persisterFamilies, catalogFamilies) {
		if len(services) == 0 || slices.Contains(services, f.Service()) {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return found
}

var coreFamilies = []Family{
	{"sluice_core_build_info", Gauge, "version commit go", "Always 1; the labels identify the build of the process."},

	{"sluice_core_readiness_info", Gauge, "state", "1 for what /readyz answers, 0 for the others: ok, degraded (it works, and something puts stock at risk), fail (it must get no work), draining (it stops)."},
	{"sluice_core_server_faults", Gauge, "server fault", "Faults in the settings or the condition of a server, looked for every 5 s; 0 if there is none. The fault unknown: the server did not tell. /readyz?verbose says what to do."},

	{"sluice_core_redis_shut_partitions", Gauge, "", "Partitions of Redis that answered at the last look and serve nobody until an edge has vetted them. It logs its objections to those that stay shut."},
	{"sluice_core_redis_state_info", Gauge, "state", "1 for the state in which Redis was last seen, 0 for the others: open, shut (nothing is sold until an edge has vetted it), partly_shut (some partitions are shut or do not answer), unknown (Redis does not answer)."},

	{"sluice_core_script_seconds", Histogram, "script", "How long a call of a script took for this process, network and queueing included."},
	{"sluice_core_script_verdicts_total", Counter, "script verdict", "Requests that a script decided, by verdict."},
	{"sluice_core_script_failures_total", Counter, "script kind", "Calls of a script that brought no decision: not_applied (nothing happened), shut (Redis is shut), unknown (it may have happened), protocol (the answer makes no sense)."},

	{"sluice_core_outbox_published_entries_total", Counter, "", "Outbox entries that this process published and Kafka acknowledged."},
	{"sluice_core_outbox_dropped_entries_total", Counter, "", "Outbox entries that did not fit into the publisher's buffer. A relay publishes them later."},
	{"sluice_core_outbox_given_up_entries_total", Counter, "", "Outbox entries that Kafka did not take in time. A relay publishes them later."},
	{"sluice_core_outbox_publish_failures_total", Counter, "", "Requests to Kafka that failed. The process repeats each until it gives the entries up."},
	{"sluice_core_outbox_publish_seconds", Histogram, "", "How long an entry took from the script's answer to Kafka's acknowledgement."},
	{"sluice_core_outbox_buffer_bytes", Gauge, "", "Memory of the entries that wait in this process for Kafka."},
	{"sluice_core_outbox_buffer_oldest_seconds", Gauge, "", "How long the oldest entry has waited in this process for Kafka; 0 if none waits."},

	{"sluice_core_relay_published_entries_total", Counter, "", "Outbox entries that the relay published, because it saw nobody else do so."},
	{"sluice_core_relay_partitions", Gauge, "state", "Partitions by where their outboxes stand for this process's relay: young (the edge that made the entries still publishes them), owed (an old entry is to be published), relayed (Kafka should have the old entries, MySQL does not have them yet), passed (the persisters have read past an entry that they should have deleted)."},
	{"sluice_core_relay_resets_total", Counter, "", "How often the relay published a partition's whole outbox again, because Kafka lost entries or their deletion failed."},
	{"sluice_core_relay_failures_total", Counter, "", "Rounds of the relay over all outboxes in which something failed."},

	{"sluice_core_basket_sweep_failures_total", Counter, "", "Looks at a partition's undecided baskets that failed, or left one undecided."},
	{"sluice_core_basket_swept_baskets_total", Counter, "state", "Baskets that this process took up, because an edge left them undecided for 5 s, by the state in which they ended."},
	{"sluice_core_expiry_expired_reservations_total", Counter, "", "Reservations that this process expired."},
	{"sluice_core_expiry_forgotten_reservations_total", Counter, "", "Records of finished reservations that this process removed after their retention."},
	{"sluice_core_expiry_failures_total", Counter, "", "Sweeps of a partition that failed."},
	{"sluice_core_expiry_late_seconds", Histogram, "", "How long after its deadline a sweep expired its oldest reservation."},
	{"sluice_core_expiry_lag_seconds", Gauge, "", "How long the oldest reservation that still has to expire has been due; 0 if there is none."},
}

var edgeFamilies = []Family{
	{"sluice_edge_http_requests_total", Counter, "route outcome", "Answered requests by route and outcome: ok, replayed, or the code of the problem document."},
	{"sluice_edge_http_request_duration_seconds", Histogram, "route", "How long a request took, from when the edge had read it to the answer."},
	{"sluice_edge_http_panics_total", Counter, "", "Requests whose handler panicked. That is a bug: the log has the stack."},
	{"sluice_edge_http_unexpected_errors_total", Counter, "", "Requests that ended in an unforeseen error. That is a bug: the log has the error."},
	{"sluice_edge_http_connections", Gauge, "", "Open connections."},
	{"sluice_edge_http_max_connections", Gauge, "", "Connections that the edge takes at once: --connections-max, or fewer if the process may open too few files."},
	{"sluice_edge_http_accept_failures_total", Counter, "", "Attempts to accept a connection that failed, mostly because the process may open no more files. The connection waits."},
	{"sluice_edge_http_unnamed_requests_total", Counter, "reason", "Requests of trusted proxies that name no shopper: missing (no X-Forwarded-For), unreadable (its last member is no address). They count against the proxy."},
	{"sluice_edge_http_refused_connections_total", Counter, "reason", "Connections that the edge refused: full (too many in all), crowded (too many from their address)."},

	{"sluice_edge_batch_vector_requests", Histogram, "op", "Requests that one script call decided together."},
	{"sluice_edge_batch_wait_seconds", Histogram, "", "How long the first request of each vector waited to be sent."},
	{"sluice_edge_batch_queued_requests", Gauge, "", "Requests that wait to be sent to Redis."},
	{"sluice_edge_batch_in_flight_calls", Gauge, "", "Script calls under way."},
	{"sluice_edge_batch_refused_requests_total", Counter, "reason", "Requests that the edge refused before Redis: full (as many wait as Redis decides in --shed-after, or as may wait at all), share (the edge sheds load, and their user has had more than others)."},
	{"sluice_edge_batch_limit_requests", Gauge, "", "Requests to reserve, deduct or hold a basket that may wait for a Redis node or be in a call to it, of the node with the lowest limit. It is --queue-max until a wait has taken longer than --shed-after."},
	{"sluice_edge_batch_unpublished_entries_total", Counter, "", "Outbox entries that the publisher had no room for. A relay publishes them later."},
	{"sluice_edge_batch_second_rounds_total", Counter, "ack", "Further calls that an edge made to prove the acknowledge level of an answer."},
	{"sluice_edge_batch_panics_total", Counter, "", "Script calls that panicked in the edge. That is a bug: the log has the stack. The outcome of their requests is unknown."},

	{"sluice_edge_breaker_state_info", Gauge, "node state", "1 for the state of the breaker of a Redis node, 0 for the other: closed, or open (the node does not answer this edge, which refuses its requests until it does). A node is an address of a cluster, or primary."},
	{"sluice_edge_breaker_openings_total", Counter, "node", "Times that the breaker of a Redis node opened, because calls in a row brought no answer."},
	{"sluice_edge_breaker_refused_requests_total", Counter, "node", "Requests that an open breaker refused. Nothing was done for them."},

	{"sluice_edge_front_answers_total", Counter, "from", "Answers to readings of the catalog (--catalog-url), by where they came from: memory, redis (the one of the cache), catalog (it was asked, once for all who waited), stale (the catalog gave none in time), screen (certainly nothing has the id), passed (asked for one client, with its Read-After or a query that can be read in two ways)."},
	{"sluice_edge_front_hot_answers", Gauge, "", "Answers of the catalog that are read so often that they stay in memory, and are asked for again before they end."},
	{"sluice_edge_front_redis_failures_total", Counter, "", "Calls of the cache's Redis that failed, or took too long. The edge leaves it alone for a second then."},
	{"sluice_edge_front_redis_dropped_answers_total", Counter, "", "Answers that did not get into the cache's Redis, because too many waited for it."},
	{"sluice_edge_front_screen_entries", Gauge, "", "Products, categories and brands in the screen of ids that exist."},
	{"sluice_edge_front_screen_complete_ratio", Gauge, "", "1 if the screen has all ids of the catalog, so that made-up ones cost the catalog nothing; 0 while it lets everything pass."},
	{"sluice_edge_front_outdated_answers_total", Counter, "", "Answers of the catalog that were older than what its events or another answer had told, and were not kept."},
	{"sluice_edge_front_fetch_failures_total", Counter, "kind", "Questions to the catalog without an answer: silent (not in time), broken (no connection, or it ended too early), odd (it is none of the API), busy (too many were on their way), refused (it had just failed several times)."},
	{"sluice_edge_front_fetch_seconds", Histogram, "", "How long a question to the catalog took."},
	{"sluice_edge_front_memory_bytes", Gauge, "", "Memory of kept answers (--catalog-memory-bytes bounds it)."},
	{"sluice_edge_front_memory_answers", Gauge, "", "Answers in memory."},
	{"sluice_edge_front_unread_seconds", Gauge, "topic", "How long ago this edge had read all that a topic of the shop tells of changes; about a second while it keeps up. Until it has caught up, answers are as old as --catalog-life allows."},
	{"sluice_edge_front_unreadable_messages_total", Counter, "topic", "Messages of a topic of the shop that this edge could not read, and passed over. The log has the first ones."},
	{"sluice_edge_front_lost_messages_total", Counter, "topic", "Messages of a topic of the shop that Kafka had no more when this edge wanted to read them. All kept answers are old then."},
	{"sluice_edge_sessions_unread_seconds", Gauge, "", "How long ago this edge had read all that the shop tells of sessions that have ended; about a second while it keeps up, 0 if it does not read (--ended-sessions). Until it has caught up, it takes the tokens of such a session for up to ten minutes."},
	{"sluice_edge_sessions_ended_sessions", Gauge, "", "Sessions that have ended and whose tokens this edge refuses, one million at most."},
	{"sluice_edge_sessions_unreadable_messages_total", Counter, "", "Messages of the topic of users that this edge could not read, and passed over. The log has the first ones."},
	{"sluice_edge_sessions_lost_messages_total", Counter, "", "Messages of the topic of users that Kafka had no more when this edge wanted to read them. It takes the tokens of the sessions in them until they expire."},

	{"sluice_edge_cache_cells", Gauge, "", "Cells whose state this edge remembers."},
	{"sluice_edge_cache_reads_total", Counter, "from", "Reads of a cell's state, by where it was found: memory or store (Redis)."},

	{"sluice_edge_registered_brought_users_total", Counter, "", "Registered users whom Redis lacked and the edge brought back, counted in each partition. After Redis was vetted or restored this is normal."},
	{"sluice_edge_registered_gone_users_total", Counter, "", "Registered users whose rows are gone from MySQL, because somebody has deleted them."},
	{"sluice_edge_registered_stranger_users_total", Counter, "", "Users among those registered in Redis whom MySQL lacks, each time an edge finds such: MySQL was set back, or somebody added them by hand."},

	{"sluice_edge_screen_known_cells", Gauge, "", "Cells that the filters of known SKUs hold."},
	{"sluice_edge_screen_known_complete_ratio", Gauge, "", "Share of partitions whose filter is complete. Only a complete filter knows for certain that a SKU is unknown."},
	{"sluice_edge_screen_known_fill_ratio", Gauge, "", "Share of set bits in the fullest filter. Above 0.5 it lets too many unknown SKUs pass until its next scan."},
	{"sluice_edge_screen_known_false_positive_ratio", Gauge, "", "Share of unknown SKUs that the filters let pass, as measured; NaN before the first one."},
	{"sluice_edge_screen_known_false_positives_total", Counter, "", "Unknown SKUs that the filters let pass. Redis then refused them."},
	{"sluice_edge_screen_known_refused_lookups_total", Counter, "", "Unknown SKUs that the edge refused without a script call."},
	{"sluice_edge_screen_known_shed_lookups_total", Counter, "", "SKUs that the edge answered overloaded, because too many unknown ones were asked for to check each."},
	{"sluice_edge_screen_known_unsure_lookups_total", Counter, "", "SKUs that passed because their filter was incomplete or could not be checked."},
	{"sluice_edge_screen_known_healed_lookups_total", Counter, "", "SKUs that Redis had and a filter lacked. The filter has them now."},
	{"sluice_edge_screen_registered_complete_ratio", Gauge, "", "Share of sales for registered users only whose filter is complete. Only a complete filter knows for certain that a user is not registered. 1 if there is no such sale."},
	{"sluice_edge_screen_registered_false_positive_ratio", Gauge, "", "Share of users who are not registered that the filters let pass, as measured; NaN before the first one."},
	{"sluice_edge_screen_registered_false_positives_total", Counter, "", "Users who are not registered that the filters let pass. Redis then refused them."},
	{"sluice_edge_screen_registered_refused_lookups_total", Counter, "", "Users who are not registered that the edge refused without asking Redis."},
	{"sluice_edge_screen_registered_sales", Gauge, "", "Sales for registered users only that the edge knows."},
	{"sluice_edge_screen_registered_unsure_lookups_total", Counter, "", "Users who passed because the filter of their sale was incomplete, or its count was old."},
	{"sluice_edge_screen_registered_users", Gauge, "", "Users that the filters of registered users hold, all sales together."},
	{"sluice_edge_screen_soldout_answered_requests_total", Counter, "", "Requests that the edge answered sold_out without asking Redis."},
	{"sluice_edge_screen_soldout_followed_partitions", Gauge, "", "Partitions whose outbox the edge follows, to learn of returned stock."},
	{"sluice_edge_screen_soldout_bases_total", Counter, "", "Times that the edge began to follow a partition. It then reads the ids of all its reservations."},
	{"sluice_edge_screen_soldout_gaps_total", Counter, "", "Times that the edge stopped following a partition, because an event was missing."},

	{"sluice_edge_screen_soldout_mistaken_cells_total", Counter, "", "Times that Redis had free units of a cell which the screen had for sold out, for longer than the 200 ms that it may. Somebody changed counters by hand, or events are missing. The screen then leaves the partition to Redis."},
	{"sluice_edge_gate_openings_total", Counter, "", "Times that this edge vetted Redis and opened it."},
	{"sluice_edge_gate_failures_total", Counter, "", "Failed looks at whether Redis is open, and failed attempts to open it."},

	{"sluice_edge_limit_edges", Gauge, "", "Edges that share the limits of users and addresses, as this edge knows them, itself included. 1: it counts alone. 0: it has no such limits."},
	{"sluice_edge_limit_exchange_calls_total", Counter, "", "Calls of Redis by which the edge told others what it let pass, and learned what they let pass."},
	{"sluice_edge_limit_exchange_failures_total", Counter, "", "Such calls that failed. Without them each edge holds the limits alone."},
	{"sluice_edge_limit_told_requests_total", Counter, "", "Requests within their limits that the edge told others of. It tells of users and addresses that may reach their limits only."},
	{"sluice_edge_limit_learned_requests_total", Counter, "", "Requests that others let pass, and that this edge counts against the limits."},
	{"sluice_edge_limit_untold_requests_total", Counter, "", "Requests that others should know of and do not: a message had no room for them, or did not reach Redis."},
	{"sluice_edge_limit_unreadable_messages_total", Counter, "", "Messages of other edges that this edge cannot read, and skips. All edges need the same keys of tokens."},
	{"sluice_edge_limit_repeated_messages_total", Counter, "", "Messages that came again, or long after they were made, and count nothing: an edge stood still, or somebody who may write to Redis repeats what edges told."},
	{"sluice_edge_limit_skipped_reads_total", Counter, "", "Times that more was told than an edge hears at once. It left that out, and went on with what came next."},

	{"sluice_edge_outbox_entries", Gauge, "", "Outbox entries in Redis. MySQL does not have them yet."},
	{"sluice_edge_outbox_fullest_partition_entries", Gauge, "", "Entries of the fullest outbox. At --outbox-entries-max its partition takes no more reserves."},
	{"sluice_edge_outbox_max_entries", Gauge, "", "Entries that one outbox may have before its partition takes no more reserves: --outbox-entries-max."},
	{"sluice_edge_outbox_oldest_seconds", Gauge, "", "Age of the oldest outbox entry; 0 if there is none."},
}

var persisterFamilies = []Family{
	{"sluice_persister_ledger_rows_total", Counter, "", "Events that were written to the ledger."},
	{"sluice_persister_duplicate_events_total", Counter, "", "Events that the ledger had already. They do no harm."},
	{"sluice_persister_batches_total", Counter, "", "Batches of messages that were applied. Each is one transaction."},
	{"sluice_persister_batch_events", Histogram, "", "Events of one batch."},
	{"sluice_persister_transaction_seconds", Histogram, "", "How long one attempt at a batch's transaction took."},
	{"sluice_persister_transaction_retries_total", Counter, "reason", "Transactions that failed and were repeated or taken apart, by reason."},
	{"sluice_persister_blocked_workers", Gauge, "reason", "Workers whose batch MySQL has refused and not taken since, by reason."},
	{"sluice_persister_dead_letters_total", Counter, "reason", "Dead letters that this process wrote, by reason. Each has a message or an event that could not be applied."},
	{"sluice_persister_unread_messages", Gauge, "", "Messages of the assigned Kafka partitions that are not applied yet."},
	{"sluice_persister_lag_seconds", Gauge, "", "How old the newest applied event is; 0 if no message is unread."},
	{"sluice_persister_fetch_failures_total", Counter, "", "Fetches from Kafka that failed."},
	{"sluice_persister_offset_gaps_total", Counter, "", "Times that Kafka had lost messages before the next one, by compaction for example. The relay publishes them again."},
	{"sluice_persister_offset_resets_total", Counter, "", "Times that a partition was read from its beginning, because Kafka no longer knew the offset."},
	{"sluice_persister_group_generations_total", Counter, "", "Generations of the consumer group that this process took part in."},
	{"sluice_persister_outbox_deleted_entries_total", Counter, "", "Outbox entries that were deleted, because MySQL has their events."},
	{"sluice_persister_outbox_delete_failures_total", Counter, "", "Deletions of outbox entries that failed. They are repeated."},
	{"sluice_persister_outbox_left_entries_total", Counter, "", "Outbox entries that stayed in Redis, because too many waited or Redis refused. The relay publishes them again."},
	{"sluice_persister_unresolved_dead_letters", Gauge, "reason", "Dead letters that nobody has resolved, by reason. Every persister shows the same. NaN while MySQL does not tell."},
	{"sluice_persister_shut_cells", Gauge, "kind", "Cells that are shut until somebody repairs them: fenced (Redis lost acknowledged effects), breached (the counters do not add up). Each persister counts those of its Kafka partitions: add them up. NaN until it has seen all of them."},
	{"sluice_persister_shut_cells_age_seconds", Gauge, "", "Age of the count of shut cells: how long ago the persister looked at the partition that it has left alone for longest."},
	{"sluice_persister_archive_unsucceeded_seconds", Gauge, "", "How long ago the last run of sluice archive ended that moved everything that was due; before the first, how long ago the first run began. Every persister shows the same, like all about the archive. NaN while there has been none."},
	{"sluice_persister_archive_moved_rows", Gauge, "table", "Rows that the last run of sluice archive moved into files: of ledger, reservations, repairs. NaN while there has been none."},
	{"sluice_persister_archive_run_seconds", Gauge, "", "How long the last run of sluice archive took, rests included. NaN while there has been none."},
	{"sluice_persister_archive_left_cells", Gauge, "", "Cells that the last run of sluice archive left as they are, because somebody must decide something first. NaN while there has been none."},
	{"sluice_persister_archive_bad_files", Gauge, "act", "Files that are missing, or not as they were written: archive: the last run of sluice archive read one back so, and deleted nothing of it; verify: the last sluice archive verify --dir found so many. NaN while there has been none."},

	{"sluice_persister_reconcile_findings", Gauge, "type direction", "Differences between the stores that nothing under way explains, by type and by their danger to a sale: docs/reconcile.md. Every persister shows the same. NaN while MySQL does not tell."},
	{"sluice_persister_reconcile_finding_units", Gauge, "type direction", "Units of these differences. Every persister shows the same."},
	{"sluice_persister_reconcile_cells", Gauge, "class", "Cells in the last sweep: in_sync, in_flight (events under way explain the difference), drift, unverified. Every persister shows the same. NaN before the first sweep."},
	{"sluice_persister_reconcile_unverified_seconds", Gauge, "sweep", "How long ago the last sweep began that could read every store; before the first, how long the persister has run. The sweep stock compares all stock as it is, rows the older rows of the ledger once a day."},
	{"sluice_persister_reconcile_period_seconds", Gauge, "", "Time within which a difference is found: --reconcile-within, or more if sweeps take longer."},
	{"sluice_persister_reconcile_sweep_seconds", Gauge, "", "How long the last sweep took, rests included. Every persister shows the same."},
	{"sluice_persister_reconcile_sweeps_total", Counter, "verdict", "Sweeps of this process, by result. One persister of all sweeps at a time."},
	{"sluice_persister_reconcile_sweep_calls_total", Counter, "", "Calls of Redis and MySQL that sweeps of this process made, most of them one after the other."},
	{"sluice_persister_reconcile_changed_cells_total", Counter, "", "Cells that this process compared because their applied mark had moved."},
	{"sluice_persister_applied_mark_moves_total", Counter, "", "Times that a cell's mark moved on. The ledger has all events of a cell up to its mark."},
}

var catalogFamilies = []Family{
	{"sluice_catalog_outbox_waiting_events", Gauge, "owner", "Events of a package of the shop that Kafka does not have yet, up to 100,000 per place."},
	{"sluice_catalog_outbox_oldest_seconds", Gauge, "owner", "How long the oldest event of a package has waited for Kafka; 0 if none waits."},
	{"sluice_catalog_outbox_published_events_total", Counter, "owner", "Events that this process published and Kafka acknowledged."},
	{"sluice_catalog_outbox_failures_total", Counter, "owner", "Looks at a topic of a package in which reading, publishing or removing events failed."},
	{"sluice_catalog_task_waiting_tasks", Gauge, "owner", "Tasks of a package that are not done yet, those for later included, up to 100,000 per place."},
	{"sluice_catalog_task_dead_tasks", Gauge, "owner", "Tasks of a package that failed too often and wait for a person, up to 100,000 per place."},
	{"sluice_catalog_task_late_seconds", Gauge, "owner", "How long the oldest task that is due has been due, and nobody works at it; 0 if there is none."},
	{"sluice_catalog_task_attempts_total", Counter, "owner outcome", "Attempts of this process at tasks, by outcome: done, retried (it failed and is tried again), died (it failed too often), returned (the process stopped), lost (it took too long, and others took the task)."},
	{"sluice_catalog_database_lag_seconds", Gauge, "database", "How far the reader of a database that is furthest behind is behind its writer, by the writer's clock. 0: it has no readers. +Inf: one of them cannot be read from."},
	{"sluice_catalog_database_reads_total", Counter, "database from", "Reads that could be a little old, by who answered: reader, writer (no reader was as far as the asker had to see), writer_instead (a reader failed)."},

	{"sluice_catalog_http_requests_total", Counter, "route outcome", "Answered requests by route and outcome: ok, or the code of the problem document."},
	{"sluice_catalog_http_request_duration_seconds", Histogram, "route", "How long a request took, from when its header was read to the answer."},
	{"sluice_catalog_stock_feed_behind_messages", Gauge, "reader", "Messages with events of stock that this process has not handled yet, of the partitions that it has."},
	{"sluice_catalog_stock_feed_stuck_seconds", Gauge, "reader", "How long this process has failed to read events of stock, or to handle them; 0 if it does not fail."},
	{"sluice_catalog_stock_feed_lost_messages_total", Counter, "reader", "Messages with events of stock that Kafka had no more when this process wanted to read them; what they tell is missing."},
	{"sluice_catalog_sessions_unread_seconds", Gauge, "", "How long ago this shop had read all that is told of sessions that have ended; about a second while it keeps up. Until it has caught up, it takes the tokens of such a session for reads of what is not personal, for up to ten minutes. All else asks the database."},
	{"sluice_catalog_sessions_ended_sessions", Gauge, "", "Sessions that have ended and whose tokens this shop refuses, one million at most."},
	{"sluice_catalog_sessions_unreadable_messages_total", Counter, "", "Messages of the topic of users that this shop could not read, and passed over. The log has the first ones."},
	{"sluice_catalog_sessions_lost_messages_total", Counter, "", "Messages of the topic of users that Kafka had no more when this shop wanted to read them."},
	{"sluice_catalog_notify_ended_messages_total", Counter, "channel outcome", "Messages that need nothing more, by outcome: sent, refused (the other side never takes it), expired (it could not be sent while it was of use), erased (its user was)."},
	{"sluice_catalog_notify_send_failures_total", Counter, "channel reason", "Attempts to send a message that failed, by reason: unreachable (the other side does not answer as it should), put_off (it takes the message later), refused (it never takes it), unknown (it may have it). After all but refused it is tried again."},
	{"sluice_catalog_notify_send_seconds", Histogram, "channel", "How long an attempt to send a message took."},
	{"sluice_catalog_notify_capped_messages_total", Counter, "kind", "Messages that were asked for and refused, by the cap that was reached: recipient, address (of who asked), country, day."},
	{"sluice_catalog_provider_attempts_total", Counter, "provider outcome", "Attempts of this process to have a provider say to a code who somebody is, and beginnings that failed, by outcome: done, refused (the code does not count), unavailable (it did not answer in time, or answered that it cannot), busy (too many waited for it, so it was not asked), broken (it answers what cannot be taken, or is set up wrongly: the log says why)."},
	{"sluice_catalog_provider_attempt_seconds", Histogram, "provider", "How long a provider took to say to a code who somebody is."},
	{"sluice_catalog_stock_low_cells", Gauge, "", "SKUs of which few units are free, by the bounds of their sellers, up to 100,000 per place. Each process tells it of the whole shop."},
	{"sluice_catalog_stock_short_units", Gauge, "", "Units that cells have too many, because they are held or sold though the warehouses have lost them. Each process tells it of the whole shop."},
	{"sluice_catalog_queue_waiting_cases", Gauge, "queue", "What waits for people of the shop, up to 100,000 per place: sign_up_hold, sign_up_challenge, application_hold, application_challenge (assessments that nobody has decided), seller_review (applications that nobody has decided), product_review (products that nobody has decided), media_review (pictures that nobody has decided about), offer_review (offers that nobody has decided). Each process tells it of the whole shop."},
	{"sluice_catalog_queue_oldest_seconds", Gauge, "queue", "How long the oldest case of a queue has waited for people; 0 if none waits. Each process tells it of the whole shop."},
	{"sluice_catalog_webhook_attempts_total", Counter, "outcome", "Attempts of this process to send an event to a webhook of a seller, by outcome: delivered, refused (it answered something else than success), gone (it answered that it wants no more), timeout, unreachable (there was no connection or no answer)."},
	{"sluice_catalog_webhook_attempt_seconds", Histogram, "", "How long an attempt to send an event to a webhook of a seller took."},
	{"sluice_catalog_webhook_disabled_webhooks_total", Counter, "reason", "Webhooks of sellers that this process disabled, and whose owners are told, by reason: failures (nothing arrived for days), gone (it answered that it wants no more)."},
	{"sluice_catalog_assess_verdicts_total", Counter, "kind verdict", "Assessments of people, by kind of moment (sign_up, application) and answer: allow, challenge (a person looks at it afterwards), hold (it waits for a person), deny."},
	{"sluice_catalog_http_panics_total", Counter, "", "Requests whose handler panicked. That is a bug: the log has the stack."},
	{"sluice_catalog_http_unexpected_errors_total", Counter, "", "Requests that ended in an unforeseen error. That is a bug: the log has the error."},
}
