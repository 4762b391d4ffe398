package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const kafkaVersion = "4.1.0"

// kafkaPOM lets Maven fetch Kafka with all it needs, and a logger that writes to
// a file without further configuration.
const kafkaPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>` + kafkaVersion + `</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
`

// kafkaJars returns the directory with Kafka's jars in the user's cache, after
// having Maven copy them there if need be. Processes that need them at the same
// time wait for the first one.
func kafkaJars(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	dir := filepath.Join(cache, "sluice", "kafka-"+kafkaVersion)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make cache directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: in the user's cache
	if err != nil {
		return "", fmt.Errorf("lock cache directory: %w", err)
	}
	defer lock.Close() // which also unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock cache directory: %w", err)
	}
	jars := filepath.Join(dir, "jars")
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	return jars, copyKafkaJars(ctx, dir, jars)
}

func copyKafkaJars(ctx context.Context, dir, jars string) error {
	mvn, err := find("mvn", installMaven)
	if err != nil {
		return err
	}
	pom := filepath.Join(dir, "pom.xml")
	fresh := jars + ".new" // gets its final name when complete
	if err := errors.Join(os.RemoveAll(fresh), os.WriteFile(pom, []byte(kafkaPOM), 0o600)); err != nil {
		return fmt.Errorf("prepare cache directory: %w", err)
	}
	//nolint:gosec // G204: the path comes from find
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", "--file", pom,
		"dependency:copy-dependencies", "-DoutputDirectory="+fresh)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch Kafka %s with Maven: %w\n%s", kafkaVersion, err, output)
	}
	return os.Rename(fresh, jars)
}
