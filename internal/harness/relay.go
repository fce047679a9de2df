package harness

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// relayPause is between looks at a node that is down.
const relayPause = 5 * time.Millisecond

// relay stands on the address that a node is known by and passes bytes on to
// where it listens. Where the node refuses, so does the relay: a port that
// accepts and then resets would not look like a dead process.
type relay struct {
	net    *Network
	node   string // behind it
	caller string // who dials; "" where the hello of the Raft port says it
	addr   string // stands here
	target string // dials there

	done chan struct{} // closed by close
	once sync.Once
	wg   sync.WaitGroup

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]flow // of callers
}

// relay adds one to the network and runs it until its close.
func (n *Network) relay(node, caller, addr, target string) *relay {
	r := &relay{
		net: n, node: node, caller: caller, addr: addr, target: target,
		done: make(chan struct{}), conns: map[net.Conn]flow{},
	}
	n.relays = append(n.relays, r)
	r.wg.Go(r.run)
	return r
}

// run listens whenever the node does.
func (r *relay) run() {
	for r.awaitNode() {
		ln, err := net.Listen("tcp", r.addr)
		if err != nil { // somebody else has the port for now
			continue
		}
		if !r.open(ln) {
			continue
		}
		for {
			c, err := ln.Accept()
			if err != nil {
				break
			}
			r.wg.Go(func() { r.carry(c) })
		}
		ln.Close()
	}
}

// awaitNode waits until the node may be reached and listens; false at the end.
func (r *relay) awaitNode() bool {
	tick := time.NewTicker(relayPause)
	defer tick.Stop()
	for {
		select {
		case <-r.done:
			return false
		case <-tick.C:
		}
		if refused, changed := r.net.isRefused(r.node); refused {
			select {
			case <-changed:
			case <-r.done:
			}
		} else if r.nodeListens() {
			return true
		}
	}
}

func (r *relay) nodeListens() bool {
	c, err := net.Dial("tcp", r.target)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// nodeDied says whether the node's port refuses, after it has ended a connection.
// A dying process's kernel ends its connections before it closes the ports that
// it listened on: a dial in between is accepted, and then reset. On a busy machine
// that takes longer than a look, so a node that is being killed is looked at again.
func (r *relay) nodeDied() bool {
	for {
		c, err := net.Dial("tcp", r.target)
		if err != nil {
			return true
		}
		err = c.SetReadDeadline(time.Now().Add(relayPause))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		c.Close()
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) && !r.net.dying(r.node) {
			return false
		}
	}
}

// open makes ln the listener, unless the node was refused or the relay closed
// since.
func (r *relay) open(ln net.Listener) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused, _ := r.net.isRefused(r.node)
	select {
	case <-r.done:
		refused = true
	default:
	}
	if refused {
		ln.Close()
		return false
	}
	r.ln = ln
	return true
}

// shut refuses callers from now on and resets those that are connected.
func (r *relay) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ln != nil {
		r.ln.Close()
	}
	for c := range r.conns {
		reset(c)
	}
}

func (r *relay) close() {
	r.once.Do(func() { close(r.done) })
	r.shut()
	r.wg.Wait()
}

// track notes a caller for shut to end; false where the relay is closed.
func (r *relay) track(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.done:
		return false
	default:
		r.conns[c] = flow{}
		return true
	}
}

func (r *relay) untrack(c net.Conn) {
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
	c.Close()
}

// reset ends a connection with RST rather than FIN.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a connection that is closed already has nothing to reset
	}
	c.Close()
}
