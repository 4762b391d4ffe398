package local

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KafkaVersion is that of the Apache Kafka of tests and benchmarks, unless KafkaVersionEnv names another.
const KafkaVersion = "4.1.0"

// KafkaVersionEnv names another one of kafkas. Maven fetches it at its first use.
const KafkaVersionEnv = "SLUICE_KAFKA_VERSION"

// kafkas are the versions of Apache Kafka that the tests run on too.
var kafkas = []string{KafkaVersion, "3.9.1", "4.3.0"}

// kafkaPOM lets Maven fetch a version of Kafka with all it needs, and a logger that writes to
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
      <version>%s</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
`

// kafkaJars returns the directory with Kafka's jars. If it does not exist, Maven copies them there first.
func kafkaJars(ctx context.Context) (string, error) {
	n := slices.Index(kafkas, cmp.Or(os.Getenv(KafkaVersionEnv), KafkaVersion))
	if n < 0 {
		return "", fmt.Errorf("%s: want one of %s", KafkaVersionEnv, strings.Join(kafkas, ", "))
	}
	version := kafkas[n]
	return cached(ctx, "kafka_2.13-"+version, func(ctx context.Context, dir string) error {
		mvn, err := find("mvn", installMavenHint)
		if err != nil {
			return err
		}
		pom := filepath.Join(dir, "pom.xml")
		if err := os.WriteFile(pom, fmt.Appendf(nil, kafkaPOM, version), 0o600); err != nil {
			return fmt.Errorf("prepare Maven: %w", err)
		}
		if err := runTool(ctx, dir, mvn, "--batch-mode", "--quiet", "--file", pom,
			"dependency:copy-dependencies", "-DoutputDirectory="+dir); err != nil {
			return fmt.Errorf("fetch Kafka %s with Maven: %w", version, err)
		}
		return nil
	})
}
