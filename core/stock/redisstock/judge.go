package redisstock

import (
	"fmt"
	"slices"
	"strings"

	"sluice/core/stock"
)

// onRestore says what to do about a partition that lacks data which MySQL and Kafka have.
const onRestore = "bring the data back, or write them anew from MySQL and Kafka: sluice restore"

// findings has all that a vetting reads from Redis, MySQL and the evidence. judge decides by nothing else.
type findings struct {
	partitions []partitionFindings
	servers    []string             // faults of servers
	ledger     string               // id of the MySQL database that has the ledger, as Redis says; empty if nobody has claimed it
	database   stock.LedgerIdentity // this MySQL database
	comparison
}

// partitionFindings has the findings about one partition.
type partitionFindings struct {
	mark   stock.Mark // in Redis
	kept   stock.Mark // in MySQL
	seen   stock.Mark // the caller trusts it; zero if the caller trusts none
	sign   bool       // somebody has vetted its server since the server started
	counts counts     // of keys
	whose  meta
	stored bool // it has a key with stock

	restoring bool   // somebody restores it, and has not finished
	restored  string // who has restored it last
	rebuilt   string // how many rebases vettings have written into its outbox
	announced string // how many of these Kafka has
}

func newFindings(cfg OpenConfig) findings {
	f := findings{partitions: make([]partitionFindings, cfg.Partitions), comparison: newComparison()}
	for p := range min(len(cfg.Seen), cfg.Partitions) {
		f.partitions[p].seen = cfg.Seen[p]
	}
	f.mends = cfg.Tails != nil
	return f
}

// fault notes what is wrong with a server.
func (f *findings) fault(format string, args ...any) {
	f.servers = append(f.servers, fmt.Sprintf(format, args...))
}

// shut reports whether a partition serves nobody, or must not serve anybody. There are three reasons: nobody has vetted
// its server since it started; its data are not the vetted ones; or they have fewer effects than MySQL knows of, or
// than this process has seen. A partition that serves callers of another version is open.
func (p *partitionFindings) shut() bool {
	if !p.sign || !p.mark.Covers(p.kept) {
		return true
	}
	return p.seen.Nonce == p.mark.Nonce && !p.mark.Covers(p.seen)
}

// strange reports whether a partition has a mark that MySQL does not know, so that others may sell from it.
func (p *partitionFindings) strange() bool {
	return p.sign && p.mark.Nonce != 0 && p.mark.Nonce != p.kept.Nonce
}

// bare reports whether a partition holds no stock, though there is some.
func (f *findings) bare(partition int) bool {
	p := &f.partitions[partition]
	return !p.stored && (p.whose == (meta{}) || f.behindIn[partition])
}

// torn names a key that a partition has lost while others are there. It is empty if no loss shows.
func (f *findings) torn(partition int) string {
	p := &f.partitions[partition]
	if p.stored && p.counts.cells == 0 && f.behindIn[partition] {
		return "its cells"
	}
	// In an open partition, a reserve may have held units since the counts were read.
	return p.counts.lacks(f.heldIn[partition] && p.shut())
}

// judgement has the objections to opening Redis.
type judgement struct {
	missing bool     // Redis holds nothing of the deployment
	causes  []string // objections to opening anything
	partly  []string // objections to opening some partitions: the others may sell
	lost    []bool   // by partition: it is behind MySQL or Kafka, has lost a key or has a fork
	sound   bool     // nothing but lost effects speaks against opening
}

// judge decides whether the Redis of a deployment may open, and which of its partitions. It does no I/O.
func judge(f *findings, deployment string) judgement {
	j := judgement{causes: slices.Clone(f.servers), lost: make([]bool, len(f.partitions))}
	j.judgeMeta(f, deployment)
	if err := otherLedger(f.ledger, f.database.ID); err != nil {
		j.object("%v", err)
	}
	if err := f.database.Refuses(deployment, len(f.partitions)); err != nil {
		j.object("%v", err)
	}
	j.sound = len(j.causes) == 0
	j.judgeCells(f)
	j.judgeKeys(f)
	j.judgeRestoring(f)
	j.judgeForks(f)
	j.judgeHistory(f)
	return j
}

func (j *judgement) object(format string, args ...any) {
	j.causes = append(j.causes, fmt.Sprintf(format, args...))
}

// lose notes that partitions have lost something, and the objections to opening them.
func (j *judgement) lose(partitions []int, objections ...string) {
	for _, p := range partitions {
		j.lost[p] = true
	}
	j.partly = append(j.partly, objections...)
}

// judgeMeta judges whether every partition belongs to the deployment. If no partition has meta or stock, the deployment is
// missing. If only some have neither, those have lost it.
func (j *judgement) judgeMeta(f *findings, deployment string) {
	var foreign stock.PartitionErrors
	var empty []int
	orphaned := 0
	for p := range f.partitions {
		found := &f.partitions[p]
		if found.whose == (meta{}) {
			empty = append(empty, p)
			if found.stored {
				orphaned++
			}
		} else if err := found.whose.differs(len(f.partitions), deployment); err != nil {
			foreign.Add(p, err)
		}
	}
	for _, cause := range foreign.List() {
		j.object("%v", cause)
	}
	j.missing = len(empty) == len(f.partitions)
	switch {
	case orphaned > 0:
		j.object("%d partitions hold stock but not whose it is", orphaned)
	case len(empty) > 0 && !j.missing:
		j.lose(empty, stock.PartitionsText(empty)+": it holds nothing, as after the loss of a server: "+onRestore)
	}
}

// judgeCells objects to the partitions with cells that are behind MySQL or Kafka.
func (j *judgement) judgeCells(f *findings) {
	if fenced := sortedKeys(f.fencedIn); len(fenced) > 0 {
		j.lose(fenced, stock.PartitionsText(fenced)+": it has cells that are fenced, because somebody has seen effects that it lacks")
	}
	if f.behind == 0 {
		return
	}
	worst := make([]string, len(f.worst))
	for i, b := range f.worst {
		worst[i] = b.String()
	}
	partitions := sortedKeys(f.behindIn) // name all: the worst cells may be in one partition
	j.lose(partitions, fmt.Sprintf("%s: it has lost effects of %d cells, most of these: %s",
		stock.PartitionsText(partitions), f.behind, strings.Join(worst, ", ")))
}

// judgeRestoring objects to the partitions that are being restored.
func (j *judgement) judgeRestoring(f *findings) {
	var partitions []int
	for p := range f.partitions {
		if f.partitions[p].restoring {
			partitions = append(partitions, p)
		}
	}
	if len(partitions) > 0 {
		j.lose(partitions, stock.PartitionsText(partitions)+": it is being restored; if nobody does so any more, sluice restore goes on with it")
	}
}

// judgeKeys objects to the partitions that have lost a key.
func (j *judgement) judgeKeys(f *findings) {
	var torn stock.PartitionErrors
	var partitions []int
	for p := range f.partitions {
		if key := f.torn(p); key != "" && !f.partitions[p].restoring {
			partitions = append(partitions, p)
			torn.Add(p, fmt.Errorf("it has lost %s, and the rest is there: %s", key, onRestore))
		}
	}
	j.lose(partitions)
	for _, err := range torn.List() {
		j.partly = append(j.partly, err.Error())
	}
}

// judgeForks objects to the partitions of cells with an unresolved fork, and to no others, because the loss is an old
// one. Such a cell went on from data that lacked an event; its later events hide the loss.
func (j *judgement) judgeForks(f *findings) {
	if len(f.forked) == 0 {
		return
	}
	partitions := sortedKeys(f.forkedIn)
	j.lose(partitions, fmt.Sprintf("%s: it has lost events of %d cells and gone on without them, among these: %s. Put the stock right, and then "+
		"say so of each fork: sluice deadletter list --reason fork, sluice deadletter resolve",
		stock.PartitionsText(partitions), len(f.forked), strings.Join(f.forks, ", ")))
}

// judgeHistory judges whether the data can be those that MySQL and Kafka know.
func (j *judgement) judgeHistory(f *findings) {
	opened := slices.ContainsFunc(f.partitions, func(p partitionFindings) bool { return p.kept.Nonce != 0 })
	var strange []int
	for _, p := range j.lostPartitions() {
		if f.partitions[p].strange() {
			strange = append(strange, p)
		}
	}
	switch {
	case j.missing && opened:
		j.object("it holds nothing, but MySQL knows that the deployment was opened before: its data are lost. " +
			"Bring them back, or write them anew from MySQL and Kafka: sluice restore")
	case j.missing && slices.Contains(j.lost, true):
		j.object("it holds nothing, but others know of its cells: its data are lost: " + onRestore)
	case len(strange) > 0:
		j.object("%s: it has data that were vetted, but not with what this MySQL has of them, and lacks what MySQL or Kafka has: "+
			"old data were put in their place, or this is another MySQL", stock.PartitionsText(strange))
	}
}

// against returns all objections.
func (j *judgement) against() []string { return slices.Concat(j.causes, j.partly) }

func (j *judgement) lostPartitions() (partitions []int) {
	for p, lost := range j.lost {
		if lost {
			partitions = append(partitions, p)
		}
	}
	return partitions
}

// proven returns the marks of the open partitions that have lost nothing. They need not wait for the others. It returns
// nil if Redis may not be the deployment's.
func (j *judgement) proven(f *findings) []stock.Mark {
	if !j.sound {
		return nil
	}
	marks := make([]stock.Mark, len(f.partitions))
	for p := range marks {
		if found := &f.partitions[p]; !j.lost[p] && !found.shut() {
			marks[p] = found.mark
		}
	}
	return marks
}

// stops reports whether Redis has to refuse everybody who still calls a partition, because it has lost something. It leaves
// alone data that were vetted with another MySQL, because this one may be wrong, unless the vetting is about to open
// their server for other partitions.
func (j *judgement) stops(f *findings, partition int) bool {
	found := &f.partitions[partition]
	opening := len(j.causes) == 0 && !found.sign
	return j.lost[partition] && (opening || found.mark.Nonce == found.kept.Nonce)
}

// opens reports whether a partition gets a new nonce once nothing speaks against opening. An open partition keeps its own.
func (j *judgement) opens(f *findings, partition int) bool {
	return !j.lost[partition] && f.partitions[partition].shut()
}
