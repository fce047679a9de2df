package edge

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
)

// tooMany is what a connection over the limit is told before it is closed.
const tooMany = `{"error":"too_many_connections","message":"all connections are taken: close some, or try later."}`

// LimitConns bounds how many connections of ln are open at once, each a sock.Conn.
// One more is told so and closed.
func LimitConns(ln net.Listener, most int) net.Listener {
	return &limited{Listener: ln, most: int64(most)}
}

type limited struct {
	net.Listener
	most int64
	open atomic.Int64
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &counted{Conn: sock.New(c), open: &l.open}, nil
		}
		l.open.Add(-1)
		refuse(c)
	}
}

// refuse tells a client why. The socket is new and takes it at once: whoever connects
// must not be able to hold up the others.
func refuse(c net.Conn) {
	if c.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: "+
			strconv.Itoa(len(tooMany))+"\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"+tooMany) // a client that has left does not need it
	}
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.CloseWrite() // so that what the client has sent does not reset the answer away
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = c.Close() })
}

type counted struct {
	*sock.Conn
	open *atomic.Int64
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.forget()
	return c.Conn.Close()
}

// forget gives the place back.
func (c *counted) forget() {
	c.once.Do(func() { c.open.Add(-1) })
}
