package servicetest

import (
	"errors"
	"fmt"
	"os"
)

// Main returns a testing.M whose Run stops the shared servers after the tests:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }
//
// Without it, the servers are killed when the test binary ends, and the next test binary removes the files that they
// left.
func Main(m interface{ Run() int }) interface{ Run() int } { return runner{m} }

type runner struct{ m interface{ Run() int } }

func (r runner) Run() int {
	code := r.m.Run()
	if err := errors.Join(sharedMariaDB.close(), sharedKafka.close()); err != nil {
		fmt.Fprintln(os.Stderr, "stop shared servers:", err)
		return max(code, 1)
	}
	return code
}
