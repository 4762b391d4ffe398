package shard

import (
	"sluice/core/config"
)

// Place is where the rows of a logical shard are: those of two shards with equal places are in the same tables.
type Place struct {
	Database int    // its index in Databases
	Suffix   string // of the names of its tables: "", or "_" and a number
}

// Database is one that has rows of the shop.
type Database struct {
	Name    string // for people, logs and metrics
	DSN     config.Secret
	Readers []config.Secret // the DSNs of its replicas, each of one server
}

// places has the place of each shard of a kind; of checkouts, of each gene in a stretch of months.
type places [Count]Place

// Map has the place of every logical shard. It does not change, so it needs no lock.
type Map struct {
	databases []Database
	fixed     [Checkouts]*places
	monthly   []*places // by month; months that are equal share one
}

// One is the map of a shop that has one database, with tables without a suffix.
func One(database Database) *Map {
	m := &Map{databases: []Database{database}, monthly: make([]*places, months)}
	all := new(places)
	for i := range m.fixed {
		m.fixed[i] = all
	}
	for i := range m.monthly {
		m.monthly[i] = all
	}
	return m
}

// Place is where the rows of a shard are.
func (m *Map) Place(s Shard) Place {
	if s.Kind == Checkouts {
		return m.monthly[s.Month][s.Number]
	}
	return m.fixed[s.Kind][s.Number]
}

// Databases are all databases, in the order of the file. The caller changes nothing in them.
func (m *Map) Databases() []Database { return m.databases }

// Places are all places of a kind, each once: where its tables have to be, and where a search without a key has to look.
func (m *Map) Places(kind Kind) []Place {
	stretches := m.monthly
	if kind != Checkouts {
		stretches = m.fixed[kind : kind+1]
	}
	var all []Place
	seen, last := map[Place]bool{}, (*places)(nil)
	for _, stretch := range stretches {
		if stretch == last {
			continue
		}
		last = stretch
		for _, place := range stretch {
			if !seen[place] {
				seen[place] = true
				all = append(all, place)
			}
		}
	}
	return all
}
