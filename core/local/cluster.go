package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// RedisCluster is a running Redis Cluster.
type RedisCluster struct {
	Nodes []*Redis // the primaries, then their replicas, if there are any, in the same order
	Addrs []string // addresses of the nodes, in the same order

	primaries int
}

const clusterSlots = 16384

// StartRedisCluster starts primaries with their files below dir, and one replica for each if replicas is set. It
// joins them to a cluster with the slots shared out evenly, and waits until every node finds the cluster whole. dir
// must be new, because a cluster does not come back at other ports.
func StartRedisCluster(ctx context.Context, dir string, primaries int, replicas bool) (*RedisCluster, error) {
	c := &RedisCluster{primaries: primaries}
	nodes := primaries
	if replicas {
		nodes *= 2
	}
	for i := range nodes {
		node, err := startRedis(ctx, filepath.Join(dir, "node"+strconv.Itoa(i)), RedisOptions{}, true)
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.Nodes = append(c.Nodes, node)
		c.Addrs = append(c.Addrs, node.Addr)
	}
	if err := c.join(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("make redis cluster: %w", err), c.Stop())
	}
	return c, nil
}

// Stop stops all nodes.
func (c *RedisCluster) Stop() error {
	var errs []error
	for _, node := range c.Nodes {
		errs = append(errs, node.Stop())
	}
	return errors.Join(errs...)
}

// WaitWhole returns when every node finds the cluster whole, as after a node
// was restarted.
func (c *RedisCluster) WaitWhole(ctx context.Context) error {
	for _, node := range c.Nodes {
		client, err := redisClient(node.Addr)
		if err != nil {
			return err
		}
		err = poll(ctx, nil, func(ctx context.Context) error { return c.whole(ctx, client) })
		client.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *RedisCluster) whole(ctx context.Context, client rueidis.Client) error {
	info, err := client.Do(ctx, client.B().ClusterInfo().Build()).ToString()
	if err != nil {
		return err
	}
	for _, want := range []string{
		"cluster_state:ok",
		"cluster_slots_ok:" + strconv.Itoa(clusterSlots),
		"cluster_known_nodes:" + strconv.Itoa(len(c.Nodes)),
	} {
		if !hasLine(info, want) {
			return fmt.Errorf("cluster is not whole: no %s in %q", want, info)
		}
	}
	return nil
}

// join gives each primary its slots, introduces all nodes to the first one, and makes replicas of the rest.
func (c *RedisCluster) join(ctx context.Context) error {
	for i, node := range c.Nodes {
		// Distinct epochs, else the nodes agree on who is who one collision at a time.
		commands := []string{"CLUSTER SET-CONFIG-EPOCH " + strconv.Itoa(i+1)}
		if i < c.primaries {
			first, last := i*clusterSlots/c.primaries, (i+1)*clusterSlots/c.primaries-1
			commands = append(commands, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last))
		}
		if err := node.do(ctx, commands...); err != nil {
			return err
		}
		_, port, err := net.SplitHostPort(c.Addrs[0])
		if err != nil {
			return err
		}
		if i > 0 {
			if err := node.do(ctx, fmt.Sprintf("CLUSTER MEET %s %s %d", host, port, c.Nodes[0].clusterPort)); err != nil {
				return err
			}
		}
	}
	if err := c.WaitWhole(ctx); err != nil {
		return err
	}
	for i, node := range c.Nodes[c.primaries:] {
		if err := node.replicate(ctx, c.Nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// replicate makes a node of a cluster the replica of another one, and returns when it has copied it.
func (r *Redis) replicate(ctx context.Context, primary *Redis) error {
	client, err := redisClient(primary.Addr)
	if err != nil {
		return err
	}
	id, err := client.Do(ctx, client.B().ClusterMyid().Build()).ToString()
	client.Close()
	if err != nil {
		return err
	}
	if err := r.do(ctx, "CLUSTER REPLICATE "+id); err != nil {
		return err
	}
	return poll(ctx, nil, func(ctx context.Context) error { return r.ready(ctx, r.PID(), true) })
}

// do sends commands. Their arguments contain no spaces.
func (r *Redis) do(ctx context.Context, commands ...string) error {
	client, err := redisClient(r.Addr)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, line := range commands {
		if err := client.Do(ctx, client.B().Arbitrary(strings.Fields(line)...).Build()).Error(); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}
