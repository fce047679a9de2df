package lb

import (
	"io"
	"net"
	"sync"
)

// feed is a listener whose connections are given to it.
type feed struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newFeed(addr net.Addr) *feed {
	return &feed{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// give says whether the server took the connection.
func (l *feed) give(c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.done:
		return false
	}
}

func (l *feed) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, io.EOF // what a server takes for an orderly end
	}
}

func (l *feed) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *feed) Addr() net.Addr { return l.addr }
