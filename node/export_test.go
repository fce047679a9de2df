package node

// HangLog makes the node's log behave like one on a disk that hangs: calls do
// not return until release is called.
func (n *Node) HangLog() (release func()) {
	mu := &n.core.Load().store.mu
	mu.Lock()
	return mu.Unlock
}
