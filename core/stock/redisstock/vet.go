package redisstock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/lua"
)

// vetting is one run of Open.
type vetting struct {
	client    rueidis.Client
	cfg       OpenConfig
	scripts   []lua.Script
	upkeep    upkeep
	primaries []*primary
	ownerOf   []*primary      // by partition
	found     []PartitionMark // in Redis, by partition
	vettings  []stock.Vetting // in MySQL, by partition
	behind    map[int]bool    // partitions with a cell that is behind MySQL or Kafka
	lost      map[int]bool    // partitions in behind, and those that have lost a key or have a fork
	sound     bool            // nothing but lost effects speaks against opening
	causes    []string        // objections to opening anything
	claims    string          // the database that may claim the ledger; empty: the ledger is claimed
	partly    []string        // objections to opening some partitions: the others may sell
	counts    []counts        // of keys, by partition
	held      map[int]bool    // partitions with a cell that has units held
	report    OpenReport
}

func newVetting(client rueidis.Client, cfg OpenConfig) (*vetting, error) {
	scripts, err := cfg.scripts.load()
	if err != nil {
		return nil, err
	}
	upkeep, err := loadUpkeep()
	if err != nil {
		return nil, err
	}
	return &vetting{client: client, cfg: cfg, scripts: scripts, upkeep: upkeep, behind: map[int]bool{}, lost: map[int]bool{}, held: map[int]bool{}}, nil
}

func (v *vetting) disconnect() {
	for _, p := range v.primaries {
		if p.cancel != nil {
			p.cancel()
		}
	}
}

func (v *vetting) object(format string, args ...any) {
	v.causes = append(v.causes, fmt.Sprintf(format, args...))
}

// against returns all objections.
func (v *vetting) against() []string {
	return slices.Concat(v.causes, v.partly)
}

// inspect collects the objections to opening, and changes nothing. missing means that Redis holds nothing of the
// deployment. An error means that inspect could not find out. It reads the marks before the evidence, so that the data
// that the marks cover are the data that it compares.
func (v *vetting) inspect(ctx context.Context) (missing bool, err error) {
	if v.primaries, err = primariesOf(ctx, v.client, v.cfg.Partitions); err != nil {
		return false, err
	}
	v.ownerOf = make([]*primary, v.cfg.Partitions)
	for _, p := range v.primaries {
		p.conn, p.cancel = p.client.Dedicate()
		v.report.Primaries = append(v.report.Primaries, p.addr)
		for _, partition := range p.partitions {
			v.ownerOf[partition] = p
		}
		if err := v.checkServer(ctx, p); err != nil {
			return false, fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := v.readMarks(ctx); err != nil {
		return false, err
	}
	if err := v.readCounts(ctx); err != nil {
		return false, err
	}
	if err := v.watch(ctx); err != nil {
		return false, err
	}
	if missing, err = v.checkMeta(ctx); err != nil {
		return false, err
	}
	if err := v.checkLedger(ctx); err != nil {
		return false, err
	}
	v.sound = len(v.causes) == 0
	if err := v.checkEvidence(ctx); err != nil {
		return false, err
	}
	v.report.Lost = slices.Sorted(maps.Keys(v.lost))
	opened := slices.ContainsFunc(v.vettings, func(kept stock.Vetting) bool { return kept.Nonce != 0 })
	switch strange := v.unknown(); {
	case missing && opened:
		v.object("it holds nothing, but MySQL knows that the deployment was opened before: its data are lost. " +
			"Bring them back, or, if it never held stock, empty the table redis_vettings")
	case missing && len(v.lost) > 0:
		v.object("it holds nothing, but others know of its cells: its data are lost")
	case len(strange) > 0:
		v.object("%s: it has data that were vetted, but not with what this MySQL has of them, and lacks what MySQL or Kafka has: "+
			"old data were put in their place, or this is another MySQL", stock.PartitionsText(strange))
	}
	return missing, nil
}

// readMarks reads the vettings from MySQL, and then the marks and scripts from Redis. The order matters: another process
// that opens Redis writes marks and scripts before MySQL shows its nonces, and effects only grow.
func (v *vetting) readMarks(ctx context.Context) (err error) {
	if v.vettings, err = v.cfg.Nonces.Read(ctx, v.cfg.Partitions); err != nil {
		return err
	}
	v.found = make([]PartitionMark, v.cfg.Partitions)
	for _, p := range v.primaries {
		if p.scripts, err = findScripts(ctx, p.conn, v.scripts); err != nil {
			return fmt.Errorf("look for scripts on %s: %w", p, err)
		}
	}
	return v.ask(ctx, "read marks", 1, func(k keys, b rueidis.Builder) []rueidis.Completed {
		return []rueidis.Completed{b.Get().Key(k.mark).Build()}
	}, func(partition int, answers []rueidis.RedisResult) (err error) {
		v.found[partition], err = markOf(answers[0])
		return err
	})
}

// ask sends n commands about each partition to the server that has it, on the vetting's own connection.
func (v *vetting) ask(ctx context.Context, what string, n int,
	commands func(k keys, b rueidis.Builder) []rueidis.Completed, each func(partition int, answers []rueidis.RedisResult) error,
) error {
	for _, p := range v.primaries {
		var all []rueidis.Completed
		for _, partition := range p.partitions {
			all = append(all, commands(keysOf(partition), p.conn.B())...)
		}
		answers := p.conn.DoMulti(ctx, all...)
		for i, partition := range p.partitions {
			if err := each(partition, answers[i*n:(i+1)*n]); err != nil {
				return fmt.Errorf("%s of partition %d on %s: %w", what, partition, p, err)
			}
		}
	}
	return nil
}

// checkServer checks version, role and settings.
func (v *vetting) checkServer(ctx context.Context, p *primary) error {
	info, err := p.conn.Do(ctx, p.conn.B().Info().Section("server", "replication").Build()).ToString()
	if err != nil {
		return fmt.Errorf("ask for its version and role: %w", err)
	}
	about := About(info)
	if !about.Recent() {
		v.object("%s has version %q, want at least %d.0", p, about.version(), VersionMin)
	}
	if !about.Primary() {
		v.object("%s is a %s, want a primary: promote it, or give --redis-addr the address of the one that is", p, about.Role())
	}
	if about.Recent() && about.Primary() && len(p.partitions) > 0 {
		err := checkRights(ctx, p.conn, v.upkeep, p.partitions[0])
		if errors.Is(err, ErrDenied) {
			return fmt.Errorf("%w: %w", ErrVetting, err)
		}
		if err != nil {
			return err
		}
	}
	faults, err := ServerFaults(ctx, p.conn)
	if err != nil {
		return err
	}
	for _, f := range faults {
		switch {
		case f.Word == FaultEviction || f.Word == FaultPersistence && !v.cfg.AllowNoPersistence:
			v.object("%s: %v", p, f)
		case f.Word == faultUnverified:
			v.cfg.Log.WarnContext(ctx, "not all settings of redis can be verified", "server", p.String(), "found", f.Found, "do", f.Do)
		}
	}
	return nil
}

// checkMeta checks that every partition belongs to this deployment. If no partition has meta or stock, the deployment is
// new, and missing is true. If only some have neither, those have lost it.
func (v *vetting) checkMeta(ctx context.Context) (missing bool, err error) {
	var bare stock.PartitionErrors
	var empty []int
	orphaned := 0
	var foreign stock.PartitionErrors
	err = v.ask(ctx, "read meta", 2, func(k keys, b rueidis.Builder) []rueidis.Completed {
		return []rueidis.Completed{
			readMeta(b, k), b.Exists().Key(k.cells, k.res, k.due, k.gone, k.outbox).Build(),
		}
	}, func(partition int, answers []rueidis.RedisResult) error {
		found, err := metaFrom(answers[0])
		if err != nil {
			return err
		}
		stored, err := answers[1].AsInt64()
		if err != nil {
			return err
		}
		if found == (meta{}) {
			if stored > 0 {
				orphaned++
			}
			empty = append(empty, partition)
			bare.Add(partition, errors.New("it holds nothing, as after the loss of a server: bring its data back"))
		} else if err := found.differs(v.cfg.Partitions, v.cfg.Deployment); err != nil {
			foreign.Add(partition, err)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, cause := range foreign.List() {
		v.object("%v", cause)
	}
	missing = len(empty) == v.cfg.Partitions
	if orphaned > 0 {
		v.object("%d partitions hold stock but not whose it is", orphaned)
	} else if !missing {
		for _, partition := range empty {
			v.lost[partition] = true
		}
		for _, err := range bare.List() {
			v.partly = append(v.partly, err.Error())
		}
	}
	return missing, nil
}

// checkLedger checks that this MySQL has the ledger of the stock.
func (v *vetting) checkLedger(ctx context.Context) error {
	database, err := v.cfg.Nonces.Identity(ctx)
	if err != nil {
		return err
	}
	p := v.ownerOf[0]
	ledger, err := ledgerFrom(p.conn.Do(ctx, readLedger(p.conn.B())))
	if err != nil {
		return fmt.Errorf("read whose ledger %s has: %w", p, err)
	}
	if err := otherLedger(ledger, database); err != nil {
		v.object("%v", err)
	}
	v.claims = ""
	if ledger == "" {
		v.claims = database
	}
	return nil
}

// claim writes into Redis that this MySQL has the ledger, if no MySQL has claimed it. The first to write has it.
func (v *vetting) claim(ctx context.Context) error {
	if v.claims == "" {
		return nil
	}
	p := v.ownerOf[0]
	if err := p.conn.Do(ctx, p.conn.B().Hsetnx().Key(keysOf(0).meta).Field(metaLedger).Value(v.claims).Build()).Error(); err != nil {
		return fmt.Errorf("write whose ledger %s has: %w", p, err)
	}
	return v.checkLedger(ctx)
}

// writeMeta writes this deployment into the meta of the partitions. If another deployment does so at the same time, the
// first to write has the partition.
func (v *vetting) writeMeta(ctx context.Context) error {
	want := [...][2]string{
		{metaDeployment, v.cfg.Deployment},
		{metaPartitions, strconv.Itoa(v.cfg.Partitions)},
		{metaFormat, metaFormatNow},
	}
	err := v.ask(ctx, "write meta", len(want), func(k keys, b rueidis.Builder) (commands []rueidis.Completed) {
		for _, field := range want {
			commands = append(commands, b.Hsetnx().Key(k.meta).Field(field[0]).Value(field[1]).Build())
		}
		return commands
	}, func(_ int, answers []rueidis.RedisResult) error { return firstError(answers) })
	if err != nil {
		return err
	}
	_, err = v.checkMeta(ctx)
	return err
}

func firstError(answers []rueidis.RedisResult) error {
	for _, answer := range answers {
		if err := answer.Error(); err != nil {
			return err
		}
	}
	return nil
}
