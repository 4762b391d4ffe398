package repair

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"sluice/core/reconcile"
	"sluice/core/show"
	"sluice/core/stock"
)

// A step that fails keeps others from being tried at the server where it failed, and nowhere else. A transfer that cannot arrive
// says nothing about the partition that the units left.
func TestFailureIsOfOneServer(t *testing.T) {
	t.Parallel()
	const partitions = 64
	from, to := stock.Cell{SKU: 7}, stock.Cell{SKU: 7, Pool: 9, Bucket: 1}
	left, arrives := server(from.Partition(partitions)), server(to.Partition(partitions))
	if left == arrives {
		t.Fatal("the cells share a partition")
	}
	broken := errors.New("does not answer")
	count := reconcile.Act{Count: &reconcile.CountEdit{}}
	finish := reconcile.Act{Transfer: &reconcile.TransferEnd{To: &reconcile.Destination{Pool: to.Pool, Bucket: to.Bucket}}}
	for name, test := range map[string]struct {
		act   reconcile.Act
		err   error
		needs []server
		away  map[server]error
	}{
		"a count":                        {count, broken, []server{left}, map[server]error{left: broken}},
		"the books":                      {reconcile.Act{Letter: "1"}, broken, nil, map[server]error{}},
		"events":                         {reconcile.Act{Events: &reconcile.EventsAgain{}}, broken, []server{kafka}, map[server]error{kafka: broken}},
		"units that do not arrive":       {finish, arrivalError{broken}, []server{left, arrives}, map[server]error{arrives: arrivalError{broken}}},
		"units whose first half is away": {finish, broken, []server{left, arrives}, map[server]error{left: broken}},
		"a move of a sale":               {reconcile.Act{Transfer: &reconcile.TransferEnd{}}, broken, []server{left}, map[server]error{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := reconcile.RepairStep{SKU: show.ID(from.SKU), Act: test.act}
			needs, away := servers(&step, partitions), map[server]error{}
			if fmt.Sprint(needs) != fmt.Sprint(test.needs) {
				t.Errorf("needs %v, want %v", needs, test.needs)
			}
			failed(away, &step, needs, test.err)
			if !maps.Equal(away, test.away) {
				t.Errorf("away are %v, want %v", away, test.away)
			}
		})
	}
}
