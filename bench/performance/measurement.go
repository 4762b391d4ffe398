package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// measurement is one question that a command answers.
type measurement struct {
	name     string // of its report, and of what --only takes
	question string
	command  string // of the shell, run in the root of the repository
	quick    string // the same at a size for trying
	takes    time.Duration
	read     func(output []byte) ([]row, error) // nil: benchmarks
}

// of is the command at a size.
func (m *measurement) of(quick bool) string {
	if quick {
		return m.quick
	}
	return m.command
}

// goBench is a measurement by the Go benchmarks of a pattern. full and quick say how much of it.
func goBench(name, question, pattern, full, quick, pkg string, takes time.Duration) measurement {
	command := func(much string) string {
		return fmt.Sprintf("go test -run '^$' -bench %s %s -timeout 30m %s", pattern, much, pkg)
	}
	return measurement{name: name, question: question, command: command(full), quick: command(quick), takes: takes}
}

// measurements are all, in the order in which they run and in which the page has them.
func measurements() []measurement {
	const once = "-benchtime 1x"
	const short = once + " -short"
	ways := "go run . bench compare -o json --for %s --rounds %d"
	sized := func(form string, full, quick int, m measurement) measurement { // form has the place of the size, and that of the command
		m.command, m.quick = fmt.Sprintf(form, full, m.command), fmt.Sprintf(form, quick, m.quick)
		return m
	}
	return []measurement{
		goBench("http", "How much of an empty HTTP server's rate does an edge reach?",
			"'Reservations|SoldOut|Shed'", once, short, "./bench", 7*time.Minute),
		{
			name: "ways", question: "How does it compare with other ways to sell?",
			command: fmt.Sprintf(ways, "5s", 5), quick: fmt.Sprintf(ways, "200ms", 1), takes: 7 * time.Minute, read: readWays,
		},
		goBench("engine", "How much faster is the batcher than one script call per request?",
			"Engine", "-benchtime 4x", once, "./edge/batch", 2*time.Minute),
		goBench("script", "What do the scripts cost Redis?",
			"'Reserve$|Settle'", "-benchtime 500000x", "-benchtime 10000x", "./core/stock/redisstock", 2*time.Minute),
		goBench("basket", "What does a basket cost Redis?",
			"'Basket$'", "-benchtime 10000x", "-benchtime 1000x", "./core/stock/redisstock", 20*time.Second),
		goBench("baskets", "How much slower is a basket over HTTP?",
			"Baskets", once, short, "./bench", 3*time.Minute),
		goBench("socket", "What does a Unix socket to Redis save?",
			"Socket", "-benchtime 20000x -count 5", "-benchtime 1000x", "./core/redis", 20*time.Second),
		goBench("idle", "What does an edge cost that has nothing to do?",
			"Idle", once, short, "./bench", time.Minute),
		goBench("persister", "How fast do events get from Kafka into MariaDB?",
			"'Run$'", once, short, "./persister", 2*time.Minute),
		goBench("indexes", "What do the indexes of reservations cost?",
			"RunIndexes", once, short, "./persister", 4*time.Minute),
		goBench("memory", "How much memory of Redis does what take?",
			"Memory", once, short, "./core/stock/redisstock", time.Minute),
		goBench("expiry", "How long after its deadline is a unit free again?",
			"TwoSweepers", once, short, "./core/expiry", time.Minute),
		goBench("loading", "How long do a million SKUs take to load?",
			"Loading", once, short, "./bench", time.Minute),
		sized("SWEEP_CELLS=%d %s", 1_000_000, 10_000, goBench("sweep", "How long does it take to compare everything?",
			"Sweep", once, once, "./core/reconcile", time.Minute)),
		sized("RECONCILE_PAIRS=%d %s", 3, 1, goBench("reconcile", "What does comparing cost a sale?",
			"'Reconcile$'", once, short, "./bench", 5*time.Minute)),
		sized("RESTORE_CELLS=%d %s", 200_000, 5_000, goBench("restore", "How long does it take to write a lost Redis anew?",
			"Restore", once, once, "./core/restore", time.Minute)),
		goBench("archive", "What does the archiver take from a sale?",
			"ArchiveBesideSale", once, short, "./bench", 4*time.Minute),
		goBench("shop", "How much does the shop answer?",
			"'Shop$'", once, short, "./bench", 3*time.Minute),
		goBench("fresh", "What does a token take that an edge has not seen?",
			"FreshTokens", "-benchtime 100000x -count 3", "-benchtime 1000x", "./core/auth", time.Minute),
		goBench("permission", "What does it take to look whether a token may call an operation?",
			"'Permission$'", "-count 3", once, "./catalog/internal/web", 20*time.Second),
		sized("%[2]s -users %[1]d", 300_000, 5_000, goBench("registration", "How fast are users registered for a sale, and what does a reserve notice?",
			"Load", once, once, "./core/registry", 2*time.Minute)),
		sized("%[2]s -users %[1]d", 100_000, 5_000, goBench("return", "When are registered users back that Redis has lost?",
			"Bring", once, once, "./core/registry", time.Minute)),
	}
}

// chosen returns the measurements with these names, or all.
func chosen(only []string) ([]measurement, error) {
	all := measurements()
	if len(only) == 0 {
		return all, nil
	}
	var names []string
	for i := range all {
		names = append(names, all[i].name)
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("no measurement %q: want some of %s", name, strings.Join(names, ","))
		}
	}
	return slices.DeleteFunc(all, func(m measurement) bool { return !slices.Contains(only, m.name) }), nil
}
