package healthcheck

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// Whatever a backend answers to its checks, the prober comes back with an error or
// with a report that does not contradict itself.
func FuzzProber(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n" + `{"id":"n1","epoch":"1","term":1e3 }`))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 503 No\r\nDengine-Node: n1\r\nDengine-Term: 18446744073709551616\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	var answer atomic.Pointer[[]byte]
	p := NewProber(scripted(f, &answer), DefaultChecks())
	f.Cleanup(p.Close)
	f.Fuzz(func(t *testing.T, in []byte) {
		answer.Store(&in)
		if r, err := p.Role("", 0); err == nil && r.Epoch == "" {
			t.Errorf("%q gives a report without an epoch: %+v", in, r)
		}
		r, err := p.Poll()
		if err == nil && (r.Ready != (r.Primary || r.Replica) || r.Ready == (r.Role == "")) {
			t.Errorf("%q gives %+v", in, r)
		}
	})
}

// scripted answers every request with the bytes of answer, and closes.
func scripted(f *testing.F, answer *atomic.Pointer[[]byte]) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = c.Write(*answer.Load())
				}
			})
		}
	})
	f.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// A list of statuses that is understood is written so that it is understood again.
func FuzzParseStatuses(f *testing.F) {
	f.Add("200,204, 300-399")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStatuses(text)
		if err != nil {
			return
		}
		again, err := ParseStatuses(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q becomes %q, and that %q, %v", text, s, again, err)
		}
	})
}
