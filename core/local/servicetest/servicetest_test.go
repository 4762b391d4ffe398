package servicetest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/core/local/servicetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// dieEnv makes the test binary start servers and die without cleaning up.
const dieEnv = "SLUICE_TEST_DIE"

func TestServersDieWithTheTestBinary(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a child's life to its parent's")
	}
	if os.Getenv(dieEnv) != "" {
		dieWithServers(t)
	}
	t.Parallel()
	servicetest.MariaDB(t) // so that this test is skipped where the server is missing
	temp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServersDieWithTheTestBinary$")
	cmd.Env = append(os.Environ(), dieEnv+"=1", "TMPDIR="+temp)
	output, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the test binary was not killed: %v\n%s", err, output)
	}
	pidFiles, err := filepath.Glob(filepath.Join(temp, "*", "mariadb.pid"))
	if err != nil || len(pidFiles) != 1 {
		t.Fatalf("pid files of mariadb: %q, %v; want one", pidFiles, err)
	}
	mariadb, err := os.ReadFile(pidFiles[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []string{string(output), string(mariadb)} {
		waitGone(t, strings.TrimSpace(pid))
	}
}

func dieWithServers(t *testing.T) {
	t.Helper()
	servicetest.MariaDB(t)
	fmt.Println(servicetest.Redis(t).PID())
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {}
}

// waitGone waits until a process has ended. One that nobody waited for yet has.
func waitGone(t *testing.T, pid string) {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	giveUp := time.After(time.Minute)
	for {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-giveUp:
			t.Fatalf("process %s still runs: %s", pid, stat)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestMariaDBGivesEachTestItsOwnDatabase(t *testing.T) {
	t.Parallel()
	if a, b := servicetest.MariaDB(t), servicetest.MariaDB(t); a == b {
		t.Errorf("got %s twice", a)
	}
}
