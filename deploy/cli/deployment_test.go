package cli

import (
	"testing"

	"sluice/deploy/command"
)

// A command with another number of partitions would find each SKU in another partition, or make it there
// again, also while Redis is open.
func TestCommandsRefuseAnothersRedis(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	const file = "sku_id,quantity\n1001,5\n"
	d.runWith(file, "stock", "load").want(command.ExitDone)
	for flag, wrong := range map[string]string{"--partitions": "4", "--deployment": "other"} {
		right := d.flags[flag]
		d.flags[flag] = wrong
		for _, args := range [][]string{
			{"stock", "load"},
			{"stock", "load", "--dry-run"},
			{"stock", "show", "1001"},
			{"stock", "adjust", "1001", "--delta", "1", "--reason", "test", "--yes"},
			{"sale", "show", "7"},
			{"doctor"},
		} {
			d.runWith(file, args...).want(command.ExitFailed, "another deployment", "set "+flag)
		}
		d.flags[flag] = right
	}
	if s := d.show(1001); s.Redis.Avail != 5 {
		t.Errorf("after what must change nothing: %+v", s.Redis)
	}
}
