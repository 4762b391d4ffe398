package operate_test

import (
	"context"
	"errors"
	"testing"

	"sluice/core/operate"
	"sluice/core/stock"
)

type replicas struct {
	warning string
	err     error
}

func (r replicas) ReplicaWarning(context.Context) (string, error) { return r.warning, r.err }

func TestWarningOf(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	for _, c := range []struct {
		level stock.Ack
		r     replicas
		want  string
	}{
		{stock.AckLog, replicas{"none keeps up", nil}, ""},
		{stock.AckDefault, replicas{"none keeps up", nil}, ""},
		{stock.AckReplica, replicas{"none keeps up", nil}, "none keeps up"},
		{stock.AckReplica, replicas{}, ""},
		{stock.AckReplica, replicas{"", away}, "it is not known whether Redis has replicas"},
	} {
		got, err := operate.WarningOf(t.Context(), c.level, c.r)
		if got != c.want || c.level == stock.AckReplica && !errors.Is(err, c.r.err) {
			t.Errorf("%v, %+v: %q, %v", c.level, c.r, got, err)
		}
	}
}
