package restore_test

import (
	"os"
	"testing"

	"sluice/core/local/servicetest"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }
