package node_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// relay stands between one node and another's Raft port, and does to their
// connections what networks and firewalls do.
type relay struct {
	t    *testing.T
	addr string
	wg   sync.WaitGroup
	pass sync.RWMutex // held while nothing passes
	back sync.RWMutex // held while no answer does

	mu     sync.Mutex
	ln     net.Listener // nil while it refuses
	target string
	pairs  map[*pair]struct{}
	seen   map[byte]int // connections so far, by kind
	held   int          // answers that wait
}

// pair is one connection through a relay. It has no kind before its first byte.
type pair struct {
	kind     byte
	cut      bool
	from, to net.Conn
}

func newRelay(t *testing.T, target string) *relay {
	r := &relay{t: t, addr: harness.FreePorts(t, 1)[0], target: target, pairs: make(map[*pair]struct{}), seen: make(map[byte]int)}
	r.accept()
	t.Cleanup(func() {
		r.refuse()
		r.cut("RCWTI")
		r.wg.Wait()
	})
	return r
}

// accept lets new connections in, again or for the first time.
func (r *relay) accept() {
	r.t.Helper()
	ln, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.ln = ln
	r.mu.Unlock()
	r.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.join(ln, c) })
		}
	})
}

// refuse has new connections refused, as where no process listens.
func (r *relay) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ln != nil {
		r.ln.Close()
		r.ln = nil
	}
}

// drop lets nothing pass, as a network that loses every packet, until pass is
// called.
func (r *relay) drop() (pass func()) {
	r.pass.Lock()
	return sync.OnceFunc(r.pass.Unlock)
}

// hold lets no answer pass until pass is called.
func (r *relay) hold() (pass func()) {
	r.back.Lock()
	return sync.OnceFunc(r.back.Unlock)
}

// holds returns how many answers wait.
func (r *relay) holds() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// lead has new connections end elsewhere.
func (r *relay) lead(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// cut resets the connections of these kinds, and those of no kind yet.
func (r *relay) cut(kinds string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		if p.kind != 0 && !strings.ContainsRune(kinds, rune(p.kind)) {
			continue
		}
		p.cut = true
		_ = p.from.(*net.TCPConn).SetLinger(0)
		p.from.Close()
		if p.to != nil {
			p.to.Close()
		}
	}
}

// count returns how many connections of a kind there have been.
func (r *relay) count(kind byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[kind]
}

// live returns how many connections of a kind there are.
func (r *relay) live(kind byte) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		if p.kind == kind {
			n++
		}
	}
	return n
}

// join takes a connection that ln has accepted to the target.
func (r *relay) join(ln net.Listener, c net.Conn) {
	defer c.Close()
	p := &pair{from: c}
	r.mu.Lock()
	target, refused := r.target, r.ln != ln
	r.pairs[p] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.pairs, p)
		r.mu.Unlock()
	}()
	if refused { // since it was accepted
		return
	}
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return
	}
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer to.Close()
	r.mu.Lock()
	cut := p.cut
	p.kind, p.to = first[0], to
	r.seen[p.kind]++
	r.mu.Unlock()
	if cut {
		return
	}
	var wg sync.WaitGroup
	if r.forward(to, first[:]) {
		wg.Go(func() { r.pump(c, to, r.answer) })
		r.pump(to, c, r.forward)
	}
	wg.Wait()
}

// pump copies until either side ends, and ends the other, unless packets are
// dropped: then not even the end passes.
func (r *relay) pump(to, from net.Conn, pass func(net.Conn, []byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !pass(to, buf[:n]) || err != nil {
			break
		}
	}
	to.Close()
	from.Close()
}

func (r *relay) forward(to net.Conn, b []byte) bool {
	r.pass.RLock()
	defer r.pass.RUnlock()
	_, err := to.Write(b)
	return err == nil
}

func (r *relay) answer(to net.Conn, b []byte) bool {
	r.wait(1)
	r.back.RLock()
	r.wait(-1)
	defer r.back.RUnlock()
	return r.forward(to, b)
}

func (r *relay) wait(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held += n
}

// relays has every node of a running cluster reach every other one through a
// relay of their own: relays[i][j] is on the way from i to j. All nodes are down at
// the same time, so that no new run sees an earlier one end and counts a crash.
func (c *cluster) relays() [][]*relay {
	c.t.Helper()
	out := c.interpose()
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	c.settle()
	return out
}

// interpose is relays for a cluster that is to be started yet.
func (c *cluster) interpose() [][]*relay {
	c.t.Helper()
	out := make([][]*relay, len(c.nodes))
	for i := range c.nodes {
		out[i] = make([]*relay, len(c.nodes))
		members := append([]node.Member(nil), c.configs[i].InitialCluster...)
		for j := range c.nodes {
			if j != i {
				out[i][j] = newRelay(c.t, c.configs[j].RaftListen)
				members[j].Raft = out[i][j].addr
			}
		}
		c.configs[i].InitialCluster = members
	}
	c.t.Cleanup(func() { // before the relays end: else the nodes take each other for dead
		for i := range c.nodes {
			c.stop(i)
		}
	})
	return out
}
