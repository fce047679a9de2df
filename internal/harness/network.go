package harness

import "sync"

// Who reaches a node's ports from outside the cluster, for Cut.
const (
	Clients = "clients" // whoever uses the HTTP API, a balancer for example
	Probers = "probers" // whoever asks the health port
)

// Network stands between the nodes of a cluster and all who reach them. What is
// cut stops bytes and nothing else: connections stay open, new ones come about,
// and when the cut is healed the bytes that were held arrive late.
type Network struct {
	mu      sync.Mutex
	cut     map[link]bool
	refused map[string]bool
	changed chan struct{} // closed at the next change
	relays  []*relay
}

// link is one direction between a node and another, or those outside.
type link struct{ from, to string }

func newNetwork() *Network {
	return &Network{cut: map[link]bool{}, refused: map[string]bool{}, changed: make(chan struct{})}
}

// Cut stops what from sends to to; nodes go by their names, the others are
// Clients and Probers. The other direction is another cut.
func (n *Network) Cut(from, to string) {
	n.change(func() { n.cut[link{from, to}] = true })
}

// CutOff stops everything between a node and all others, both ways.
func (n *Network) CutOff(node string) {
	n.change(func() {
		for _, other := range n.others(node) {
			n.cut[link{node, other}], n.cut[link{other, node}] = true, true
		}
	})
}

// others are all who speak with a node; the lock is held.
func (n *Network) others(node string) []string {
	out := []string{Clients, Probers}
	for _, r := range n.relays {
		if r.node != node {
			out = append(out, r.node)
		}
	}
	return out
}

// Refuse makes a node's ports look as if nobody listened: its connections are
// reset and new ones refused, though the node runs.
func (n *Network) Refuse(node string) {
	n.change(func() { n.refused[node] = true })
	for _, r := range n.relays { // complete before anyone has the Network
		if r.node == node {
			r.shut()
		}
	}
}

// Heal undoes every Cut and Refuse.
func (n *Network) Heal() {
	n.change(func() {
		clear(n.cut)
		clear(n.refused)
	})
}

func (n *Network) close() {
	for _, r := range n.relays {
		r.close()
	}
}

func (n *Network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

// isRefused says whether a node's ports must not listen, and gives a channel
// that is closed when that may have changed.
func (n *Network) isRefused(node string) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused[node], n.changed
}

// pass waits while a link is cut; it returns false once gone or done is closed.
func (n *Network) pass(l link, gone, done <-chan struct{}) bool {
	for {
		n.mu.Lock()
		cut, changed := n.cut[l], n.changed
		n.mu.Unlock()
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-gone:
			return false
		case <-done:
			return false
		}
	}
}
