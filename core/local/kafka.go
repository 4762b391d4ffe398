package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Kafka is a running Apache Kafka. One process is both broker and controller.
type Kafka struct {
	server
	Addrs []string
	Dir   string // has server.properties, kafka.log and the data
}

// kafkaProperties is in the broker's working directory, so that no file has to quote a path.
const kafkaProperties = "server.properties"

// StartKafka starts an Apache Kafka with its files in dir and waits until topics
// can be made. It needs Java, and Maven for the first start of a user.
func StartKafka(ctx context.Context, dir string) (*Kafka, error) {
	java, err := find("java", installJavaHint)
	if err != nil {
		return nil, err
	}
	jars, err := kafkaJars(ctx)
	if err != nil {
		return nil, err
	}
	if dir, err = makeDir("kafka", dir); err != nil {
		return nil, err
	}
	k := &Kafka{Dir: dir}
	k.server = server{
		log:   filepath.Join(dir, "kafka.log"),
		grace: 60 * time.Second,
		command: func(ctx context.Context) *exec.Cmd {
			return command(ctx, dir, java, javaArgs(jars, "512m", "kafka.Kafka", kafkaProperties)...)
		},
		ready: k.ready,
	}
	err = k.startOnFreePorts(ctx, func() error {
		broker, err := FreePort(ctx)
		if err != nil {
			return err
		}
		controller, err := FreePort(ctx)
		if err != nil {
			return err
		}
		k.Addrs = []string{address(broker)}
		if err := os.WriteFile(filepath.Join(dir, kafkaProperties), []byte(k.config(broker, controller)), 0o600); err != nil {
			return err
		}
		return k.format(ctx, java, jars)
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func javaArgs(jars, heap, class string, args ...string) []string {
	return append([]string{
		"-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
		"-cp", filepath.Join(jars, "*"), class,
	}, args...)
}

func (k *Kafka) data() string { return filepath.Join(k.Dir, "data") }

// format makes an empty store, unless the directory has one.
func (k *Kafka) format(ctx context.Context, java, jars string) error {
	if _, err := os.Stat(filepath.Join(k.data(), "meta.properties")); err == nil {
		return nil
	}
	return runTool(ctx, k.Dir, java, javaArgs(jars, "128m", "kafka.tools.StorageTool",
		"format", "--cluster-id", "c2x1aWNlLXByaXZhdGUtMQ", "--config", kafkaProperties)...)
}

func (k *Kafka) config(broker, controller int) string {
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + address(controller),
		"controller.listener.names=CONTROLLER",
		"listeners=BROKER://" + address(broker) + ",CONTROLLER://" + address(controller),
		"listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name=BROKER",
		"log.dirs=data",
		"auto.create.topics.enable=false",
		"metadata.max.idle.interval.ms=0", // no follower of the controller needs a sign of life twice a second
		"group.initial.rebalance.delay.ms=0",
		"log.cleaner.backoff.ms=200", // a test of compaction waits for it
		"offsets.topic.num.partitions=4",
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
	}, "\n") + "\n"
}

// ready reports whether the broker takes part in its cluster. The ports identify its process, because a Kafka that
// finds one of its ports taken ends.
func (k *Kafka) ready(ctx context.Context, _ int) error {
	conn, err := kafka.DialContext(ctx, "tcp", k.Addrs[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerMax)); err != nil {
		return err
	}
	brokers, err := conn.Brokers()
	if err != nil {
		return err
	}
	if len(brokers) == 0 {
		return errors.New("the broker is not registered yet")
	}
	return nil
}
