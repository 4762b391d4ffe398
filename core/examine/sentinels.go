package examine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/core/telemetry"
)

// sentinelsMin is how many Sentinels there must be: with fewer, the loss of one leaves nobody who names the primary.
const sentinelsMin = 3

// Sentinels has the answers of the Sentinels of a deployment.
type Sentinels struct {
	Given     int               // how many of them the settings name
	primaries []string          // each that one of them names, once
	replicas  map[string]string // flags by address
}

// Names takes the primary that a Sentinel names.
func (s *Sentinels) Names(primary string) {
	if !slices.Contains(s.primaries, primary) {
		s.primaries = append(s.primaries, primary)
	}
}

// Knows takes a replica that a Sentinel knows, with its flags. If one of them finds a replica down, it counts as down.
func (s *Sentinels) Knows(replica, flags string) {
	if s.replicas == nil {
		s.replicas = map[string]string{}
	}
	if s.replicas[replica] == "" || down(flags) {
		s.replicas[replica] = flags
	}
}

// Up lists the replicas that could take over, in order of their addresses.
func (s *Sentinels) Up() (addrs []string) {
	for addr, flags := range s.replicas {
		if !down(flags) {
			addrs = append(addrs, addr)
		}
	}
	slices.Sort(addrs)
	return addrs
}

func down(flags string) bool {
	return strings.Contains(flags, "down") || strings.Contains(flags, "disconnected")
}

// Risks judges whether somebody takes over when the primary fails. Each is about the Sentinels or a replica.
func (s *Sentinels) Risks() (risks []Risk) {
	const all = "Sentinels"
	risk := func(about, found, do string) {
		risks = append(risks, Risk{About: about, Fault: telemetry.Fault{Word: "sentinels", Found: found, Do: do}})
	}
	if s.Given < sentinelsMin {
		risk(all, fmt.Sprintf("only %d are given: while they are away nobody names the primary", s.Given),
			"run three or more on different machines, and give all in --redis-sentinel-addrs")
	}
	if len(s.primaries) > 1 {
		risk(all, "they name different primaries: "+strings.Join(s.primaries, ", "), "see whether a failover is under way, or a Sentinel cut off")
		risks[len(risks)-1].Failure = true
	}
	for _, addr := range slices.Sorted(maps.Keys(s.replicas)) {
		if flags := s.replicas[addr]; down(flags) {
			risk("Redis replica "+addr, "the Sentinels find it "+flags, "start it, or let the Sentinels forget it by SENTINEL RESET")
		}
	}
	if len(s.Up()) == 0 && len(s.primaries) > 0 {
		risk(all, "the primary has no replica that is up: nothing can take over", "start a replica")
	}
	return risks
}

// Risk is a judgement about a part of a deployment.
type Risk struct {
	telemetry.Fault

	About   string
	Failure bool // it is a failure now; else it may become one
}
