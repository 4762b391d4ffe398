package client_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Who imports the client links no scripts, no Redis client, no database and no fasthttp.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "sluice/core/client").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "net/http\n") {
		t.Fatalf("go list told nothing of use:\n%s", out)
	}
	heavy := regexp.MustCompile(`^(sluice/(lua|edge|persister|.*redisstock|core/(config|db|kafka|redis))|github\.com/(valyala|redis|go-sql-driver|segmentio)/|database/sql$)`)
	for path := range strings.Lines(string(out)) {
		if heavy.MatchString(strings.TrimSpace(path)) {
			t.Errorf("core/client links %s", path)
		}
	}
}
