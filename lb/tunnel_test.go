package lb_test

import (
	"bufio"
	"io"
	"net"
	"testing"
)

// A client may be gone before its connection could be taken over: the answer to
// the request before it cannot be written, and the server closes without
// calling whoever was to take over. What that one holds must come back.
func TestTakeoverThatNeverHappens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ request, answer string }{
		"upgrade": {
			"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		},
		"chunks to an HTTP/1.0 client": {
			"GET /s HTTP/1.0\r\nHost: x\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived, left := make(chan struct{}), make(chan struct{})
			addr := rawBackend(t, func(conn net.Conn, r *bufio.Reader) {
				for {
					req, _, err := readRequest(r)
					if err != nil {
						return
					}
					if req.URL.Path == "/small" {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						continue
					}
					arrived <- struct{}{}
					<-left
					_, _ = io.WriteString(conn, c.answer)
					_, _ = io.Copy(io.Discard, r)
					return
				}
			})
			cfg := foreign(t, addr)
			cfg.StreamTimeout = 3 * deadline // it must not take until then
			p := start(t, cfg)
			p.settled(t, 1, addr)
			for range 5 {
				conn := dial(t, p.Addr())
				// Pipelined, so that the first answer waits in the server's buffer.
				write(t, conn, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n"+c.request)
				<-arrived
				if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
				left <- struct{}{}
			}
			eventually(t, "the connections to the backend to end", func() bool {
				s := p.Status()
				return s.Backends[0].Connections <= 1 && s.Clients.Open == 0
			})
			p.stop()
			p.ended(t)
			if p.err != nil {
				t.Errorf("Run: %v", p.err)
			}
		})
	}
}
