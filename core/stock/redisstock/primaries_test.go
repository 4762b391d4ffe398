package redisstock

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const otherNode = "07c3 10.0.0.2:6379@16379,host master - 0 1426238317239 2 connected 5461-10922\n"

func TestClusterNodes(t *testing.T) {
	t.Parallel()
	f := func(line string, want ...[2]int) {
		t.Helper()
		nodes := clusterNodes("txt:" + otherNode + line + "\n")
		if diff := cmp.Diff(want, ownSlots(nodes)); diff != "" {
			t.Errorf("own slots of %q (-want +got):\n%s", line, diff)
		}
		if len(nodes) != 2 || nodes[0].id != "07c3" || nodes[0].myself || nodes[0].slots[0] != [2]int{5461, 10922} {
			t.Errorf("nodes of %q: %+v", line, nodes)
		}
	}
	f("e7d1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5460 6000 16383-16383",
		[2]int{0, 5460}, [2]int{6000, 6000}, [2]int{16383, 16383})
	f("e7d1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5460 [77->-07c3] [93-<-07c3]", [2]int{0, 5460})
	f("e7d1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 7-5 99999 x")
	f("e7d1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected")
	f("e7d1 10.0.0.1:6379@16379 myself,slave 07c3 0 0 1 connected")
	if nodes := clusterNodes("e7d1 10.0.0.1:6379@16379 slave 07c3 0 0 1 connected\nshort\n"); nodes != nil {
		t.Errorf("of a replica that another node tells of: %+v", nodes)
	}
}

// TestSlotViewIsAgreed checks that an old primary, which still believes that it is one, is noticed by the answers of
// the others, whoever is asked first.
func TestSlotViewIsAgreed(t *testing.T) {
	t.Parallel()
	const (
		stale   = "old 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5460\n" + otherNode
		current = "old 10.0.0.1:6379@16379 master,fail - 0 0 1 disconnected\n" +
			"new 10.0.0.4:6379@16379 myself,master - 0 0 4 connected 0-5460\n" + otherNode
	)
	for _, order := range [][2]string{{stale, current}, {current, stale}} {
		var view slotView
		if err := view.add("a", clusterNodes(order[0])); err != nil {
			t.Fatal(err)
		}
		if err := view.add("a", clusterNodes(order[0])); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if err := view.add("b", clusterNodes(order[1])); err == nil || !strings.Contains(err.Error(), "a and b disagree about who has slot 0") {
			t.Errorf("error is %v, want a disagreement", err)
		}
	}
}
