package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// What a server must be.
const (
	versionMin = 7 // scripts with flags

	clusterSlots = 16384
)

// vetting is one run of Open.
type vetting struct {
	client    rueidis.Client
	cfg       OpenConfig
	primaries []*primary
	causes    []string // against opening
	report    OpenReport
}

// primary is one server that has partitions.
type primary struct {
	addr   string
	client rueidis.Client
	conn   rueidis.DedicatedClient
	cancel func()
}

func (p *primary) String() string {
	if p.addr == "" {
		return "redis"
	}
	return "redis " + p.addr
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

// run collects what speaks against opening, and marks a new deployment's partitions if nothing does. An
// error means that it could not find out.
func (v *vetting) run(ctx context.Context) error {
	missing, err := v.inspect(ctx)
	if err != nil || len(v.causes) > 0 || !missing {
		return err
	}
	v.report.New = true
	return v.writeMeta(ctx)
}

// inspect collects what speaks against opening, and changes nothing. Missing tells that Redis holds
// nothing of the deployment.
func (v *vetting) inspect(ctx context.Context) (missing bool, err error) {
	if v.primaries, err = primariesOf(ctx, v.client); err != nil {
		return false, err
	}
	for _, p := range v.primaries {
		p.conn, p.cancel = p.client.Dedicate()
		v.report.Primaries = append(v.report.Primaries, p.addr)
		if err := v.checkServer(ctx, p); err != nil {
			return false, fmt.Errorf("%s: %w", p, err)
		}
	}
	if missing, err = v.checkMeta(ctx); err != nil {
		return false, err
	}
	return missing, v.checkEvidence(ctx)
}

// primariesOf lists the primaries of a cluster, or the one server. Every slot must have one; replicas
// may be down. Where Sentinels name the server, its client ends when they name another one.
func primariesOf(ctx context.Context, client rueidis.Client) ([]*primary, error) {
	switch client.Mode() {
	case rueidis.ClientModeCluster:
	case rueidis.ClientModeSentinel:
		for addr, node := range client.Nodes() {
			return []*primary{{addr: addr, client: node}}, nil
		}
	default:
		return []*primary{{client: client}}, nil
	}
	var primaries []*primary
	var failures []error
	covered := 0
	for addr, node := range client.Nodes() {
		list, err := node.Do(ctx, node.B().ClusterNodes().Build()).ToString()
		if err != nil {
			failures = append(failures, fmt.Errorf("ask %s for its slots: %w", addr, err))
			continue
		}
		ranges := slotsOfMyself(list)
		for _, slots := range ranges {
			covered += slots[1] - slots[0] + 1
		}
		if len(ranges) > 0 {
			primaries = append(primaries, &primary{addr: addr, client: node})
		}
	}
	if covered < clusterSlots {
		return nil, errors.Join(append(failures, fmt.Errorf("only %d of %d slots have a primary", covered, clusterSlots))...)
	}
	slices.SortFunc(primaries, func(a, b *primary) int { return strings.Compare(a.addr, b.addr) })
	return primaries, nil
}

// checkServer checks version, role and settings.
func (v *vetting) checkServer(ctx context.Context, p *primary) error {
	info, err := p.conn.Do(ctx, p.conn.B().Info().Section("server", "replication").Build()).ToString()
	if err != nil {
		return err
	}
	if version := infoField(info, "redis_version"); !recent(version) {
		v.object("%s has version %q, want at least %d.0", p, version, versionMin)
	}
	if role := infoField(info, "role"); role != "master" {
		v.object("%s is a %s, want a primary", p, role)
	}
	faults, err := ServerFaults(ctx, p.conn)
	if err != nil {
		return err
	}
	for _, f := range faults {
		if f.Word == FaultEviction || f.Word == FaultPersistence && !v.cfg.AllowNoPersistence {
			v.object("%s: %v", p, f)
		}
	}
	return nil
}

func recent(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= versionMin
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// checkMeta checks that every partition belongs to this deployment. A deployment whose partitions
// have neither meta nor stock is new: missing.
func (v *vetting) checkMeta(ctx context.Context) (missing bool, err error) {
	commands := make([]rueidis.Completed, 0, 2*v.cfg.Partitions)
	for p := range v.cfg.Partitions {
		k := keysOf(p)
		commands = append(commands, readMeta(v.client, k),
			v.client.B().Exists().Key(k.cells, k.res, k.due, k.gone, k.outbox).Build())
	}
	answers := v.client.DoMulti(ctx, commands...)
	bare, orphaned := 0, 0
	var foreign stock.PartitionErrors
	for p := range v.cfg.Partitions {
		found, err := metaFrom(answers[2*p])
		if err != nil {
			return false, fmt.Errorf("read meta of partition %d: %w", p, err)
		}
		stored, err := answers[2*p+1].AsInt64()
		if err != nil {
			return false, fmt.Errorf("look for stock of partition %d: %w", p, err)
		}
		if found == (meta{}) {
			bare++
			if stored > 0 {
				orphaned++
			}
		} else if err := found.differs(v.cfg.Partitions, v.cfg.Deployment); err != nil {
			foreign.Add(p, err)
		}
	}
	for _, cause := range foreign.List() {
		v.object("%v", cause)
	}
	switch {
	case orphaned > 0:
		v.object("%d partitions hold stock but not whose it is", orphaned)
	case bare > 0 && bare < v.cfg.Partitions:
		v.object("%d of %d partitions are empty, as after the loss of a server", bare, v.cfg.Partitions)
	}
	return bare == v.cfg.Partitions, nil
}

// writeMeta marks the partitions as this deployment's. If another deployment does so at the same
// time, the first to mark a partition has it.
func (v *vetting) writeMeta(ctx context.Context) error {
	want := [...][2]string{
		{metaDeployment, v.cfg.Deployment},
		{metaPartitions, strconv.Itoa(v.cfg.Partitions)},
		{metaFormat, metaFormatNow},
	}
	var commands []rueidis.Completed
	for p := range v.cfg.Partitions {
		for _, field := range want {
			commands = append(commands, v.client.B().Hsetnx().Key(keysOf(p).meta).Field(field[0]).Value(field[1]).Build())
		}
	}
	for _, answer := range v.client.DoMulti(ctx, commands...) {
		if err := answer.Error(); err != nil {
			return fmt.Errorf("write meta: %w", err)
		}
	}
	_, err := v.checkMeta(ctx)
	return err
}
