package harness

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// flow is what is known of a caller's connection once it is carried on.
type flow struct {
	caller string
	end    func(error) // ends it, by a reset for an error
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
	r.mu.Lock()
	r.conns[c] = flow{caller, end}
	r.mu.Unlock()
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

// drop ends the connections that node has through the relay, as a caller or as the one
// behind it.
func (r *relay) drop(node string) {
	r.mu.Lock()
	var ends []func(error)
	for _, f := range r.conns {
		if f.end != nil && (r.node == node || f.caller == node) {
			ends = append(ends, f.end)
		}
	}
	r.mu.Unlock()
	for _, end := range ends {
		end(errLost)
	}
}

// helloLimit is the longest hello, as node/port.go has it.
const helloLimit = 64 << 10

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
