package lb_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
)

// BenchmarkProxyGet measures one GET after the other over loopback, through the
// balancer to a backend that allocates nothing, from a client that neither
// does: what is allocated is the balancer's.
func BenchmarkProxyGet(b *testing.B) {
	benchmarkProxy(b, "GET /kv/username HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
}

// BenchmarkProxyPut is the same for a short write.
func BenchmarkProxyPut(b *testing.B) {
	benchmarkProxy(b, "PUT /kv/username HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nContent-Length: 5\r\n\r\nalice")
}

func benchmarkProxy(b *testing.B, request string) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDengine-Node: n1\r\nDengine-Index: 12345\r\nContent-Length: 17\r\n\r\n" + `{"value":"alice"}`)
	addr := rawBackend(b, func(c net.Conn, r *bufio.Reader) {
		for {
			body := false
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				body = body || bytes.HasPrefix(line, []byte("Content-Length:"))
				if len(line) == 2 {
					break
				}
			}
			if body {
				if _, err := r.Discard(5); err != nil {
					return
				}
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	p := start(b, foreign(b, addr))
	p.settled(b, 1, addr)
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	req, buf := []byte(request), make([]byte, 4096)
	exchange := func() {
		if _, err := conn.Write(req); err != nil {
			b.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(buf[:n], []byte(`{"value":"alice"}`)); {
			m, err := conn.Read(buf[n:])
			if err != nil && err != io.EOF {
				b.Fatal(err)
			}
			n += m
		}
	}
	for range 100 {
		exchange()
	}
	b.ReportAllocs()
	for b.Loop() {
		exchange()
	}
}
