package batch

import (
	"fmt"
	"testing"

	"sluice/core/stock"
)

func TestSequel(t *testing.T) {
	t.Parallel()
	entry := stock.Entry{ID: "1-0"}
	cell := func(levels ...stock.Ack) (states []stock.CellState) {
		for _, level := range levels {
			states = append(states, stock.CellState{Loaded: true, Settings: stock.Settings{Ack: level}})
		}
		return states
	}
	for name, c := range map[string]struct {
		vector   stock.Vector
		standard stock.Ack
		want     sequel
	}{
		"refusals":                      {stock.Vector{Cells: cell(stock.AckDefault)}, stock.AckRedis, sequel{observe: true}},
		"of a fenced cell":              {stock.Vector{Cells: []stock.CellState{{}, {Fenced: true}}}, stock.AckRedis, sequel{observe: true, fenced: true}},
		"effects":                       {stock.Vector{Cells: cell(stock.AckRedis), Entry: entry}, stock.AckLog, sequel{observe: true, publish: true}},
		"effects at the level log":      {stock.Vector{Cells: cell(stock.AckRedis, stock.AckLog), Entry: entry}, stock.AckRedis, sequel{observe: true, publish: true, awaited: true}},
		"by default":                    {stock.Vector{Cells: cell(stock.AckDefault), Entry: entry}, stock.AckLog, sequel{observe: true, publish: true, awaited: true}},
		"refusals at the level log":     {stock.Vector{Cells: cell(stock.AckLog)}, stock.AckRedis, sequel{observe: true}},
		"at the level replica":          {stock.Vector{Cells: cell(stock.AckReplica), Entry: entry}, stock.AckRedis, sequel{observe: true, replica: true, publish: true}},
		"replica by default, and a log": {stock.Vector{Cells: cell(stock.AckDefault, stock.AckLog), Entry: entry}, stock.AckReplica, sequel{observe: true, replica: true, publish: true, awaited: true}},
		"no answer in time":             {stock.Vector{Err: stock.ErrUnknown, Cells: cell(stock.AckLog), Entry: entry}, stock.AckRedis, sequel{forget: true}},
		"not executed":                  {stock.Vector{Err: fmt.Errorf("call: %w", stock.ErrNotApplied)}, stock.AckRedis, sequel{forget: true}},
		"not vetted":                    {stock.Vector{Err: fmt.Errorf("call: %w", stock.ErrShut)}, stock.AckRedis, sequel{forget: true, shut: true}},
	} {
		if got := sequelOf(&c.vector, c.standard); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestNeed(t *testing.T) {
	t.Parallel()
	delivery := newCompletion()
	all := map[need]bool{}
	for name, c := range map[string]struct {
		level   stock.Ack
		op      stock.Op
		verdict stock.Verdict
		proof   proof
		want    need
	}{
		"redis":                                    {stock.AckRedis, stock.OpReserve, stock.VerdictOK, proof{delivery: delivery}, needNothing},
		"replica, which was not waited for":        {stock.AckReplica, stock.OpReserve, stock.VerdictOK, proof{}, needReplay},
		"replica, which has it":                    {stock.AckReplica, stock.OpReserve, stock.VerdictOK, proof{replicate: true, replicated: true}, needNothing},
		"replica, which has it, of a replay":       {stock.AckReplica, stock.OpReserve, stock.VerdictReplayed, proof{replicate: true, replicated: true}, needNothing},
		"replica, which has it not":                {stock.AckReplica, stock.OpReserve, stock.VerdictOK, proof{replicate: true}, needReplica},
		"replica, of which there is none":          {stock.AckReplica, stock.OpReserve, stock.VerdictOK, proof{replicate: true, noReplica: true}, needReplica},
		"set before there is a replica":            {stock.AckReplica, stock.OpAdjust, stock.VerdictOK, proof{replicate: true, noReplica: true}, needNothing},
		"set while the replica is behind":          {stock.AckReplica, stock.OpAdjust, stock.VerdictOK, proof{replicate: true}, needReplica},
		"set, and it is not known if there is one": {stock.AckReplica, stock.OpAdjust, stock.VerdictOK, proof{noReplica: true}, needReplay},
		"log": {stock.AckLog, stock.OpReserve, stock.VerdictOK, proof{delivery: delivery}, needEntry},
		"log, of a replay beside a first request":   {stock.AckLog, stock.OpReserve, stock.VerdictReplayed, proof{delivery: delivery}, needProof},
		"log, of a replay":                          {stock.AckLog, stock.OpReserve, stock.VerdictReplayed, proof{}, needProof},
		"log, which the cell was not known to have": {stock.AckLog, stock.OpReserve, stock.VerdictOK, proof{}, needProof},
	} {
		got := needOf(c.level, c.op, c.verdict, c.proof)
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		all[got] = true
	}
	if len(all) != int(needProof)+1 {
		t.Errorf("%d of %d needs are seen", len(all), needProof+1)
	}
}
