package harness

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	relayPause = 5 * time.Millisecond // between looks at a node that is down
	helloLimit = 64 << 10             // bytes of a hello, as node/port.go has it
)

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
	conns map[net.Conn]struct{} // of callers
}

// relay adds one to the network and runs it until its close.
func (n *Network) relay(node, caller, addr, target string) *relay {
	r := &relay{
		net: n, node: node, caller: caller, addr: addr, target: target,
		done: make(chan struct{}), conns: map[net.Conn]struct{}{},
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
// it listened on: a dial in between is accepted, and then reset.
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
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
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

// carry passes a caller's bytes on, and the node's back, until either ends.
func (r *relay) carry(c net.Conn) {
	if !r.track(c) {
		reset(c)
		return
	}
	defer r.untrack(c)
	caller, head := r.caller, []byte(nil)
	if caller == "" {
		var err error
		if caller, head, err = readHello(c); err != nil {
			c.Close()
			return
		}
	}
	back, err := net.Dial("tcp", r.target)
	if err != nil {
		r.shut()
		return
	}
	gone := make(chan struct{}) // one side has ended
	var once sync.Once
	end := func(err error) {
		once.Do(func() {
			close(gone)
			if err != nil {
				reset(back)
				reset(c)
				return
			}
			back.Close()
			c.Close()
		})
	}
	r.wg.Go(func() {
		err := r.pump(c, back, Link{r.node, caller}, nil, gone)
		if r.nodeDied() {
			r.shut() // before the caller learns of the end, so that whoever looks finds the port refusing
		}
		end(err)
	})
	end(r.pump(back, c, Link{caller, r.node}, head, gone))
}

// pump copies what passes the link until the source ends, and then until the end
// itself would pass.
func (r *relay) pump(dst io.Writer, src io.Reader, l Link, head []byte, gone <-chan struct{}) error {
	buf := append(make([]byte, 0, 32<<10), head...)
	var ended error
	for ended == nil {
		if err := r.net.pass(l, gone, r.done); err != nil {
			return lost(err)
		}
		if _, err := dst.Write(buf); err != nil {
			return err
		}
		var n int
		n, ended = src.Read(buf[:cap(buf)])
		buf = buf[:n]
	}
	if err := r.net.pass(l, gone, r.done); err != nil {
		return lost(err)
	}
	if errors.Is(ended, io.EOF) {
		return nil
	}
	return ended
}

// lost is an error only where the connection is to be reset.
func lost(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// track notes a caller for shut to end; false where the relay is closed.
func (r *relay) track(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.done:
		return false
	default:
		r.conns[c] = struct{}{}
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

// readHello reads the start of a connection to a Raft port (node/port.go): a
// byte for what it is for, four for a length, and JSON that says from whom.
func readHello(c io.Reader) (from string, head []byte, err error) {
	head = make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return "", nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > helloLimit {
		return "", nil, fmt.Errorf("hello of %d bytes: at most %d", n, helloLimit)
	}
	head = append(head, make([]byte, n)...)
	if _, err := io.ReadFull(c, head[5:]); err != nil {
		return "", nil, err
	}
	var hello struct{ From string }
	return hello.From, head, json.Unmarshal(head[5:], &hello)
}
