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

// RedisCluster is a running Redis Cluster of primaries without replicas.
type RedisCluster struct {
	Nodes []*Redis
	Addrs []string // of the nodes, in the same order
}

const clusterSlots = 16384

// StartRedisCluster starts nodes with their files below dir, joins them to a
// cluster with the slots shared out evenly, and waits until every node finds the
// cluster whole. dir must be new: a cluster does not come back at other ports.
func StartRedisCluster(ctx context.Context, dir string, nodes int) (*RedisCluster, error) {
	c := &RedisCluster{}
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

// join gives each node its slots and introduces all to the first one.
func (c *RedisCluster) join(ctx context.Context) error {
	for i, node := range c.Nodes {
		first, last := i*clusterSlots/len(c.Nodes), (i+1)*clusterSlots/len(c.Nodes)-1
		err := node.do(ctx,
			// Distinct epochs, else the nodes settle who is who one collision at a time.
			"CLUSTER SET-CONFIG-EPOCH "+strconv.Itoa(i+1),
			fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last),
		)
		if err != nil {
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
	return c.WaitWhole(ctx)
}

// do sends commands whose arguments hold no spaces.
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
