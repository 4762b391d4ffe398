package edge

import "time"

// LeaveFences has the edge leave fenced cells as they are, for tests of what is said about them.
func (n *Node) LeaveFences() { n.gate.fenceAfter.Store(time.Now().Add(time.Hour).UnixMilli()) }
