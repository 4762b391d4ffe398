package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Sentinels are running Redis Sentinels that watch one primary.
type Sentinels struct {
	Nodes  []*Redis
	Addrs  []string // of the nodes, in the same order
	Master string   // the primary's name among them
}

// StartSentinels starts Sentinels with their files below dir. They take a primary for dead once most of them have not
// heard from it for downAfter. StartSentinels waits until each Sentinel knows the others and the given number of
// replicas.
func StartSentinels(ctx context.Context, dir string, nodes int, primary *Redis, replicas int, downAfter time.Duration) (*Sentinels, error) {
	s := &Sentinels{Master: "stock"}
	for i := range nodes {
		node, err := startSentinel(ctx, filepath.Join(dir, "sentinel"+strconv.Itoa(i)), []string{
			fmt.Sprintf("sentinel monitor %s %s %d", s.Master, strings.Replace(primary.Addr, ":", " ", 1), nodes/2+1),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", s.Master, downAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s 10000", s.Master),
		})
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		s.Nodes = append(s.Nodes, node)
		s.Addrs = append(s.Addrs, node.Addr)
	}
	for _, node := range s.Nodes {
		err := poll(ctx, node.proc.done, func(ctx context.Context) error { return node.knows(ctx, s.Master, nodes-1, replicas) })
		if err != nil {
			return nil, errors.Join(fmt.Errorf("wait for sentinels: %w", err), s.Stop())
		}
	}
	return s, nil
}

// Stop stops all of them.
func (s *Sentinels) Stop() error {
	var errs []error
	for _, node := range s.Nodes {
		errs = append(errs, node.Stop())
	}
	return errors.Join(errs...)
}

func startSentinel(ctx context.Context, dir string, watch []string) (*Redis, error) {
	path, err := FindRedis(ctx)
	if err != nil {
		return nil, err
	}
	if dir, err = makeRedisDir(dir); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "sentinel.conf")
	r := &Redis{Dir: dir}
	r.server = server{
		log:     filepath.Join(dir, "sentinel.log"),
		grace:   20 * time.Second,
		command: func(ctx context.Context) *exec.Cmd { return command(ctx, dir, path, filepath.Base(conf), "--sentinel") },
		ready:   func(ctx context.Context, pid int) error { return r.ready(ctx, pid, false) },
	}
	err = r.startOnFreePorts(ctx, func() error {
		port, err := FreePort(ctx)
		if err != nil {
			return err
		}
		r.Addr = address(port)
		lines := append([]string{"bind " + host, "port " + strconv.Itoa(port), "daemonize no", "dir ."}, watch...)
		return os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// knows reports whether a Sentinel has found the given numbers of other Sentinels and of replicas.
func (r *Redis) knows(ctx context.Context, master string, others, replicas int) error {
	client, err := redisClient(r.Addr)
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := client.Do(ctx, client.B().Arbitrary("SENTINEL", "MASTER", master).Build()).AsStrMap()
	if err != nil {
		return err
	}
	if found["num-other-sentinels"] != strconv.Itoa(others) || found["num-slaves"] != strconv.Itoa(replicas) {
		return fmt.Errorf("%s knows %s other sentinels and %s replicas", r.Addr, found["num-other-sentinels"], found["num-slaves"])
	}
	return nil
}
