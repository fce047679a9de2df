package harness

import (
	"math/rand/v2"
	"sync"
	"time"
)

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
	cut     map[Link]int // how many hold it
	slow    map[Link]time.Duration
	lossy   map[Link]bool
	refused map[string]bool
	changed chan struct{} // closed at the next change
	relays  []*relay
	luck    func() float64         // from 0 to 1, of what passes a lossy link
	dying   func(node string) bool // it was sent what it cannot survive, since it was started
}

// Link is one direction between a node and another, or those outside: nodes go by
// their names, the others are Clients and Probers.
type Link struct{ From, To string }

// Both are the two directions between a and b.
func Both(a, b string) []Link { return []Link{{a, b}, {b, a}} }

func newNetwork() *Network {
	return &Network{
		cut: map[Link]int{}, slow: map[Link]time.Duration{}, lossy: map[Link]bool{},
		refused: map[string]bool{}, changed: make(chan struct{}), luck: rand.Float64,
		dying: func(string) bool { return false },
	}
}

// Cut stops what from sends to to. The other direction is another cut.
func (n *Network) Cut(from, to string) { n.Sever(Link{from, to}) }

// CutOff stops everything between a node and all others, both ways.
func (n *Network) CutOff(node string) { n.Sever(n.Around(node)...) }

// Sever stops what is sent over links. heal undoes just that: a link that is
// severed twice passes nothing before both are healed.
func (n *Network) Sever(links ...Link) (heal func()) {
	n.change(func() {
		for _, l := range links {
			n.cut[l]++
		}
	})
	return func() {
		n.change(func() {
			for _, l := range links {
				n.cut[l] = max(0, n.cut[l]-1) // Heal may have come first
			}
		})
	}
}

// Isolate severs all links of a node, and heal ends all connections over them before it
// joins them again: nothing that was held arrives late.
func (n *Network) Isolate(node string) (heal func()) {
	join := n.Sever(n.Around(node)...)
	return func() {
		for _, r := range n.relays {
			r.drop(node)
		}
		join()
	}
}

// Slow delays what is sent over links by about so much, until heal.
func (n *Network) Slow(by time.Duration, links ...Link) (heal func()) {
	n.change(func() {
		for _, l := range links {
			n.slow[l] = by
		}
	})
	return func() {
		n.change(func() {
			for _, l := range links {
				delete(n.slow, l)
			}
		})
	}
}

// Lossy makes links lose packets, as TCP shows it: they stall now and then until what
// was lost is sent again, and sometimes a connection is given up and reset.
func (n *Network) Lossy(links ...Link) (heal func()) {
	n.change(func() {
		for _, l := range links {
			n.lossy[l] = true
		}
	})
	return func() {
		n.change(func() {
			for _, l := range links {
				delete(n.lossy, l)
			}
		})
	}
}

// Around are all links of a node, those to and from the outside included.
func (n *Network) Around(node string) []Link {
	out := append(Both(node, Clients), Both(node, Probers)...)
	seen := map[string]bool{node: true}
	for _, r := range n.relays { // complete before anyone has the Network
		if !seen[r.node] {
			seen[r.node] = true
			out = append(out, Both(node, r.node)...)
		}
	}
	return out
}

// Refuse makes a node's ports look as if nobody listened: its connections are
// reset and new ones refused, though the node runs.
func (n *Network) Refuse(node string) {
	n.change(func() { n.refused[node] = true })
	for _, r := range n.relays {
		if r.node == node {
			r.shut()
		}
	}
}

// Heal undoes all that was done to the network.
func (n *Network) Heal() {
	n.change(func() {
		clear(n.cut)
		clear(n.slow)
		clear(n.lossy)
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
