package local

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is an embedded broker that speaks Kafka's protocol. It lives in this process and creates topics on request
// only. Measurements of it say nothing about a real Kafka.
type Broker struct {
	Addrs   []string
	cluster *kfake.Cluster
}

// StartBroker starts a broker on a port, or on a free one for 0. With a dir it
// keeps topics and offsets there and finds them again; without one (""), in
// memory.
func StartBroker(ctx context.Context, dir string, port int) (*Broker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(port),
	}
	if dir != "" {
		opts = append(opts, kfake.DataDir(dir))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	return &Broker{Addrs: cluster.ListenAddrs(), cluster: cluster}, nil
}

// HoldNextWrite holds back the next write until a channel is closed. Other writes pass it by.
func (b *Broker) HoldNextWrite(until <-chan struct{}) {
	var holds atomic.Bool
	b.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if !holds.Swap(true) {
			b.cluster.SleepControl(func() { <-until })
		}
		return nil, nil, false
	})
}

// Stop ends the broker, after writing its state if it has a directory.
func (b *Broker) Stop() { b.cluster.Close() }
