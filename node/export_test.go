package node

// HangLog makes the node's log behave like one on a disk that hangs: a write is
// under way, and neither it nor any other ends until release is called. Reads go
// on, as they do while the kernel has them in memory.
func (n *Node) HangLog() (release func()) {
	w := n.core.Load().store.watch
	w.begin("hang")
	return w.end
}
