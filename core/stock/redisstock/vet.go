package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/lua"
)

// vetting is one run of Open. It reads the findings, has judge decide, and does what the judgement allows.
type vetting struct {
	client    rueidis.Client
	cfg       OpenConfig
	scripts   []lua.Script
	upkeep    upkeep
	primaries []*primary
	ownerOf   []*primary // by partition
	report    OpenReport
	markedAt  time.Time // when the marks were read: any loss of Redis happened before

	findings
	judgement
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
	return &vetting{client: client, cfg: cfg, scripts: scripts, upkeep: upkeep, findings: newFindings(cfg)}, nil
}

func (v *vetting) disconnect() {
	for _, p := range v.primaries {
		if p.cancel != nil {
			p.cancel()
		}
	}
}

// inspect reads the findings and judges them. It changes nothing. An error means that inspect could not find out. It reads
// the marks before the evidence, so that the data that the marks cover are the data that it compares.
func (v *vetting) inspect(ctx context.Context) (err error) {
	if v.primaries, err = primariesOf(ctx, v.client, v.cfg.Partitions); err != nil {
		return err
	}
	v.ownerOf = make([]*primary, v.cfg.Partitions)
	for _, p := range v.primaries {
		p.conn, p.cancel = p.client.Dedicate()
		v.report.Primaries = append(v.report.Primaries, p.addr)
		for _, partition := range p.partitions {
			v.ownerOf[partition] = p
		}
		if err := v.checkServer(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	for _, read := range []func(context.Context) error{
		v.readMarks, v.readCounts, v.watch, v.readMeta, v.readLedger, v.awaitAcks, v.compareAll,
	} {
		if err := read(ctx); err != nil {
			return err
		}
	}
	v.judge()
	return nil
}

// judge decides by the findings, and reports them.
func (v *vetting) judge() {
	v.judgement = judge(&v.findings, v.cfg.Deployment)
	v.report.Positions, v.report.Behind, v.report.Worst, v.report.Forked = v.positions, v.behind, v.worst, len(v.forked)
	v.report.Lost = v.lostPartitions()
}

// readMarks reads the vettings from MySQL, and then the marks and scripts from Redis. The order matters: another process
// that opens Redis writes marks and scripts before MySQL shows its nonces, and effects only grow.
func (v *vetting) readMarks(ctx context.Context) (err error) {
	kept, err := v.cfg.Nonces.Read(ctx, v.cfg.Partitions)
	if err != nil {
		return err
	}
	for _, p := range v.primaries {
		if p.scripts, err = findScripts(ctx, p.conn, v.scripts); err != nil {
			return fmt.Errorf("look for scripts on %s: %w", p, err)
		}
		for _, partition := range p.partitions {
			v.partitions[partition].sign, v.partitions[partition].kept = p.scripts.sign, kept[partition]
		}
	}
	return v.ask(ctx, "read marks", 1, func(k keys, b rueidis.Builder) []rueidis.Completed {
		return []rueidis.Completed{b.Get().Key(k.mark).Build()}
	}, func(partition int, answers []rueidis.RedisResult) (err error) {
		v.partitions[partition].mark, err = markOf(answers[0])
		v.markedAt = time.Now()
		return err
	})
}

// awaitAcks waits, if a partition is shut, until everybody who still hears from Kafka about a lost effect asks Redis first.
func (v *vetting) awaitAcks(ctx context.Context) error {
	if slices.ContainsFunc(v.partitions, func(p partitionFindings) bool { return p.shut() }) {
		return v.waitForAcks(ctx)
	}
	return nil
}

func (v *vetting) waitForAcks(ctx context.Context) error {
	lifecycle.Pause(ctx, time.Until(v.markedAt.Add(stock.AckLateWait)))
	return ctx.Err()
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
		v.fault("%s has version %q, want at least %d.0", p, about.version(), VersionMin)
	}
	if !about.Primary() {
		v.fault("%s is a %s, want a primary: promote it, or give --redis-addr the address of the one that is", p, about.Role())
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
			v.fault("%s: %v", p, f)
		case f.Word == FaultUnverified:
			v.cfg.Log.WarnContext(ctx, "not all settings of redis can be verified", "server", p.String(), "found", f.Found, "do", f.Do)
		}
	}
	return nil
}

// readMeta reads whose the partitions are.
func (v *vetting) readMeta(ctx context.Context) error {
	return v.ask(ctx, "read meta", 2, func(k keys, b rueidis.Builder) []rueidis.Completed {
		return []rueidis.Completed{
			readMeta(b, k), b.Exists().Key(k.cells, k.res, k.due, k.gone, k.outbox).Build(),
		}
	}, func(partition int, answers []rueidis.RedisResult) (err error) {
		found := &v.partitions[partition]
		if found.whose, err = metaFrom(answers[0]); err != nil {
			return err
		}
		stored, err := answers[1].AsInt64()
		found.stored = stored > 0
		return err
	})
}

// readLedger reads which MySQL has the ledger of the stock, and which this one is.
func (v *vetting) readLedger(ctx context.Context) (err error) {
	if v.database, err = v.cfg.Nonces.Identity(ctx); err != nil {
		return err
	}
	p := v.ownerOf[0]
	if v.ledger, err = ledgerFrom(p.conn.Do(ctx, readLedger(p.conn.B()))); err != nil {
		return fmt.Errorf("read whose ledger %s has: %w", p, err)
	}
	return nil
}

// claim writes into Redis that this MySQL has the ledger, if no MySQL has claimed it, and into MySQL the name of the
// deployment and the number of its partitions. The first process writes them, and claim judges again by the written
// ones.
func (v *vetting) claim(ctx context.Context) error {
	if v.database.Deployment == "" || v.database.Partitions == 0 {
		err := v.cfg.Nonces.Name(ctx, v.cfg.Deployment, v.cfg.Partitions)
		if err != nil {
			v.cfg.Log.Warn("cannot write the name of the deployment and the number of its partitions into MySQL: "+
				"a restore may not notice a wrong --deployment or --partitions", "error", err)
		} else if err := v.readLedger(ctx); err != nil { // another deployment may have been first
			return err
		}
		if v.judge(); len(v.causes) > 0 {
			return nil
		}
	}
	if v.ledger != "" || v.database.ID == "" {
		return nil
	}
	p := v.ownerOf[0]
	if err := p.conn.Do(ctx, p.conn.B().Hsetnx().Key(keysOf(0).meta).Field(metaLedger).Value(v.database.ID).Build()).Error(); err != nil {
		return fmt.Errorf("write whose ledger %s has: %w", p, err)
	}
	if err := v.readLedger(ctx); err != nil {
		return err
	}
	v.judge()
	return nil
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
	if err := v.readMeta(ctx); err != nil {
		return err
	}
	v.judge()
	return nil
}

func firstError(answers []rueidis.RedisResult) error {
	for _, answer := range answers {
		if err := answer.Error(); err != nil {
			return err
		}
	}
	return nil
}
