package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/lua"
)

// signScript is the script that is the same in every version. A server keeps scripts only in its memory. So while this
// script is loaded, the server has not restarted since it was vetted. The marks say which data it may serve.
const signScript = "open"

// scriptsThere says which scripts a server has.
type scriptsThere struct {
	all     bool // it has all of them
	sign    bool // the server was vetted since it started, by this version or by another one
	replica bool // the server is a replica, and executes no script that changes stock
}

// findScripts asks a server which scripts it has.
func findScripts(ctx context.Context, client rueidis.CoreClient, scripts []lua.Script) (scriptsThere, error) {
	sums := make([]string, len(scripts))
	for i := range scripts {
		sums[i] = scripts[i].SHA1
	}
	there, err := client.Do(ctx, client.B().ScriptExists().Sha1(sums...).Build()).AsIntSlice()
	if err == nil && len(there) != len(scripts) {
		err = elementsError(len(there))
	}
	if err != nil {
		return scriptsThere{}, err
	}
	sign := slices.IndexFunc(scripts, func(s lua.Script) bool { return s.Name == signScript })
	return scriptsThere{all: !slices.Contains(there, 0), sign: sign >= 0 && there[sign] != 0}, nil
}

// lookAt is findScripts, and also asks for the role of a server that is not in a cluster. If the user may not ask for
// the role, lookAt takes the server for a primary, because a replica refuses the scripts anyway.
func (s *Store) lookAt(ctx context.Context, client rueidis.Client) (there scriptsThere, err error) {
	if s.client.Mode() == rueidis.ClientModeCluster {
		return findScripts(ctx, client, s.texts)
	}
	info := make(chan string, 1)
	go func() {
		answer, _ := client.Do(ctx, client.B().Info().Section("replication").Build()).ToString()
		info <- answer
	}()
	there, err = findScripts(ctx, client, s.texts)
	role := About(<-info).Role()
	there.replica = role != "" && role != roleMaster
	return there, err
}

// loadScripts loads all scripts on a server.
func loadScripts(ctx context.Context, client rueidis.CoreClient, scripts []lua.Script) error {
	for _, script := range scripts {
		sum, err := client.Do(ctx, client.B().ScriptLoad().Script(script.Source).Build()).ToString()
		if err != nil {
			return fmt.Errorf("load script %s: %w", script.Name, err)
		}
		if sum != script.SHA1 {
			return fmt.Errorf("load script %s: it is %s there, want %s", script.Name, sum, script.SHA1)
		}
	}
	return nil
}

// LoadScripts loads the scripts of this version on every open server, beside those of other versions. It opens nothing: it
// leaves alone a server that nobody has vetted since it started, and one that does not answer.
func (s *Store) LoadScripts(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	servers, _, _ := s.askScripts(ctx)
	for addr, server := range servers {
		if server.there.all || !server.there.sign || server.there.replica {
			continue
		}
		if failed := loadBeside(ctx, server.client, s.texts); failed != nil {
			err = errors.Join(err, wrap(strings.TrimSpace("load scripts on redis "+addr), failed))
		}
	}
	return err
}

// loadBeside looks for the sign and loads scripts on one connection. So if the server restarts in between, the scripts do
// not reach it.
func loadBeside(ctx context.Context, client rueidis.Client, scripts []lua.Script) error {
	conn, release := client.Dedicate()
	defer release()
	there, err := findScripts(ctx, conn, scripts)
	if err != nil || there.all || !there.sign {
		return err
	}
	return loadScripts(ctx, conn, scripts)
}

// DisarmReplicas removes the scripts from those of the servers that are replicas, and were vetted before, when they were
// primaries. If such a replica becomes primary again, it executes nothing until somebody vets it. A server that does not answer keeps its
// scripts until the next call. A server that becomes primary at that very moment may lose scripts that a vetting has
// just loaded; then it is vetted once more.
func (s *Store) DisarmReplicas(ctx context.Context, nodes map[string]rueidis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	ends := make(chan error, len(nodes))
	for addr, node := range nodes {
		go func() {
			if err := disarm(ctx, node, s.texts); err != nil {
				ends <- wrap("take scripts from the replica "+addr, err)
				return
			}
			ends <- nil
		}()
	}
	var failures []error
	for range nodes {
		select {
		case err := <-ends:
			failures = append(failures, err)
		case <-ctx.Done(): // the client may take longer, where it is about to connect
		}
	}
	return errors.Join(failures...)
}

// disarm removes the scripts from a server that is a replica and has the sign. It fails only if such a server refuses
// that.
func disarm(ctx context.Context, client rueidis.Client, scripts []lua.Script) error {
	conn, release := client.Dedicate()
	defer release()
	info, err := conn.Do(ctx, conn.B().Info().Section("replication").Build()).ToString()
	if role := About(info).Role(); err != nil || role == "" || role == roleMaster {
		return nil // other looks report servers that do not answer
	}
	there, err := findScripts(ctx, conn, scripts)
	if err != nil || !there.sign {
		return nil
	}
	return conn.Do(ctx, conn.B().ScriptFlush().Build()).Error()
}

// scriptServer is a server that has partitions, with its answer about the scripts.
type scriptServer struct {
	client rueidis.Client
	there  scriptsThere
	err    error
}

// askScripts asks all servers with partitions which scripts they have. It returns the servers that answer, and for each
// partition the address of its server. It asks all servers at once, so that one that hangs does not delay the others.
// The error names the servers that do not answer.
func (s *Store) askScripts(ctx context.Context) (answered map[string]scriptServer, addrs []string, err error) {
	servers := map[string]rueidis.Client{"": s.client}
	addrs = make([]string, len(s.partitions))
	if s.client.Mode() == rueidis.ClientModeCluster {
		t, err := s.nodes.topology(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		addrs, servers = t.addrs, map[string]rueidis.Client{}
		for addr, node := range t.nodes {
			servers[addr] = node.client
		}
	}
	type answer struct {
		addr string
		scriptServer
	}
	answers := make(chan answer, len(servers))
	waiting := map[string]bool{}
	for addr, server := range servers {
		if !slices.Contains(addrs, addr) {
			continue // a replica
		}
		waiting[addr] = true
		go func() {
			there, err := s.lookAt(ctx, server)
			answers <- answer{addr, scriptServer{server, there, err}}
		}()
	}
	answered = map[string]scriptServer{}
	var failures []error
	failed := func(addr string, err error) {
		failures = append(failures, wrap(strings.TrimSpace("look for scripts on redis "+addr), err))
	}
	for len(waiting) > 0 {
		select {
		case a := <-answers:
			delete(waiting, a.addr)
			if a.err != nil {
				failed(a.addr, a.err)
			} else {
				answered[a.addr] = a.scriptServer
			}
			continue
		case <-ctx.Done(): // the client may take longer, where it is about to connect
		}
		for addr := range waiting {
			failed(addr, ctx.Err())
		}
		clear(waiting)
	}
	return answered, addrs, errors.Join(failures...)
}

// loaded returns for each partition whether its server has all scripts and executes them. It leaves out partitions whose
// server does not answer.
func (s *Store) loaded(ctx context.Context) (map[int]bool, error) {
	servers, addrs, err := s.askScripts(ctx)
	of := map[int]bool{}
	for p, addr := range addrs {
		if server, answered := servers[addr]; answered {
			of[p] = server.there.all && !server.there.replica
		} else if err == nil {
			err = fmt.Errorf("look for scripts: %w: nobody is known to have partition %d", stock.ErrNotApplied, p)
		}
	}
	return of, err
}

// upkeep has the scripts that are not part of the sign of an open server. Most must run on a full server, because
// otherwise the server could not free itself. When its memory is full, Redis refuses plain writes and transactions,
// but runs scripts with the flag allow-oom or no-writes.
//
// The store sends these scripts whole, by EVAL. It must also relay the outbox of a server that is not open, and such
// a server knows no script. Upkeep scripts do not count when the store asks whether a server is open.
type upkeep struct{ lease, relayed, unrelayed, counts, may, vetted, shut, amend, rebuild, clear, refill, shift, vouch string }

// upkeepScript reads a script of package lua, unless a test has seeded a bug in it.
var upkeepScript = lua.Upkeep

func loadUpkeep() (u upkeep, err error) {
	for name, source := range map[string]*string{
		"lease": &u.lease, "relayed": &u.relayed, "unrelayed": &u.unrelayed, "counts": &u.counts, "may": &u.may, "vetted": &u.vetted,
		"shut":  &u.shut,
		"amend": &u.amend, "rebuild": &u.rebuild, "clear": &u.clear, "refill": &u.refill, "shift": &u.shift, "vouch": &u.vouch,
	} {
		script, err := upkeepScript(name)
		if err != nil {
			return upkeep{}, err
		}
		*source = script.Source
	}
	return u, nil
}

// keep runs an upkeep script about keys of a partition beside its mark, and returns the number that it answers. It fails with
// stock.ErrShut if the store does not trust the data. It does not compare the effects, as checkNonce does not.
func (s *Store) keep(ctx context.Context, what, script string, partition int, about []string, args ...string) (int64, error) {
	if err := s.checkPartition(partition); err != nil {
		return 0, err
	}
	return s.keepBy(ctx, s.marks.of(partition), what, script, partition, about, args...)
}

// keepBy is keep by a mark that the caller trusts.
func (s *Store) keepBy(ctx context.Context, trusted stock.Mark, what, script string, partition int, about []string, args ...string) (n int64, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		if trusted.Nonce == 0 {
			return untrusted(what)
		}
		answer, err := s.client.Do(ctx, s.client.B().Eval().Script(script).Numkeys(int64(1+len(about))).Key(k.mark).Key(about...).
			Arg(string(appendMark(nil, trusted))).Arg(args...).Build()).AsIntSlice()
		if err != nil {
			return wrap(what, err)
		}
		if len(answer) != 1 {
			return wrapProtocol(what, elementsError(len(answer)))
		}
		n = answer[0]
		return nil
	})
	return n, err
}

// writeMark returns the command that gives a partition the mark of a vetting.
func (u upkeep) writeMark(b rueidis.Builder, partition int, mark stock.Mark) rueidis.Completed {
	return b.Eval().Script(u.vetted).Numkeys(1).Key(keysOf(partition).mark).Arg(string(appendMark(nil, mark))).Build()
}

// deleteMark returns the command that deletes the mark of a partition, unless it is of another vetting than the one found.
func (u upkeep) deleteMark(b rueidis.Builder, partition int, found stock.Mark) rueidis.Completed {
	return b.Eval().Script(u.shut).Numkeys(1).Key(keysOf(partition).mark).Arg(string(appendMark(nil, found))).Build()
}
