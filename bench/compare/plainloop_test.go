package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// plainAt starts a trivial server.
func plainAt(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	l, err := newPlainLoop(ln.(*net.TCPListener), plainAnswers()) //nolint:forcetypeassert // of "tcp" it is one
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = l.run() }() // until the process ends
	return addr
}

func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// The trivial servers answer each workload with as much as it says.
func TestPlainServers(t *testing.T) {
	t.Parallel()
	addr := plainAt(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ask := func(method, path, body string) (int, int) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, len(b)
	}
	for _, w := range workloads() {
		if w.at != plainServers {
			continue
		}
		if status, n := ask(w.method, w.path, w.body); status != 200 || n != w.answer {
			t.Errorf("%s: %d with %d B, want 200 with %d", w.what, status, n, w.answer)
		}
	}
	if status, _ := ask("GET", plainHealth, ""); status != 200 {
		t.Errorf("health: %d", status)
	}
	if status, _ := ask("GET", "/17", ""); status != 404 {
		t.Errorf("what is not there: %d", status)
	}
}

// A request is read to its end and no further, in whatever pieces it comes.
func TestPlainServersKnowWhereARequestEnds(t *testing.T) {
	t.Parallel()
	addr := plainAt(t)
	post := "POST /16 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET "
	for name, pieces := range map[string][]string{
		"one after the other at once": {strings.Repeat(post, 3)},
		"byte by byte":                strings.Split(strings.Repeat(post, 3), ""),
		"the body later":              {post[:len(post)-4], "GET " + post + post[:len(post)-2], "T "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, addr)
			for _, p := range pieces {
				if _, err := io.WriteString(c, p); err != nil {
					t.Fatal(err)
				}
			}
			r := bufio.NewReader(c)
			for range 3 {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || len(b) != 16 || err != nil {
					t.Errorf("%d with %d B, %v", resp.StatusCode, len(b), err)
				}
			}
		})
	}
}

// Who asks for the end of the connection, or what is not understood, sees the end.
func TestPlainServersEndConnections(t *testing.T) {
	t.Parallel()
	addr := plainAt(t)
	for request, want := range map[string]int{
		"GET /health HTTP/1.0\r\n\r\n":                                                            200,
		"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n":                                       200,
		"POST /16 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n":                                 400,
		"POST /16 HTTP/1.1\r\nContent-Length: -1\r\n\r\n":                                         400,
		"GET /16 HTTP/2.0\r\n\r\n":                                                                400,
		"POST /16 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: x\r\n\r\n":                     400,
		"GET /16 HTTP/1.1\r\nX: " + strings.Repeat("x", plainMost-len("GET /16 HTTP/1.1\r\nX: ")): 400,
	} {
		c := connect(t, addr)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%.60q: %v", request, err)
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if _, err := r.ReadByte(); resp.StatusCode != want || err != io.EOF {
			t.Errorf("%.60q: %d and then %v, want %d and the end", request, resp.StatusCode, err, want)
		}
	}
}

// Who reads nothing for a while gets all of it then, and holds nobody up.
func TestPlainServersWaitForSlowReaders(t *testing.T) {
	t.Parallel()
	addr := plainAt(t)
	const requests = 400 // of 64 KiB: more than sockets hold
	slow := connect(t, addr)
	var sent sync.WaitGroup
	sent.Go(func() { _, _ = io.WriteString(slow, strings.Repeat("GET /65536 HTTP/1.1\r\n\r\n", requests)) })
	other := connect(t, addr)
	if _, err := io.WriteString(other, "GET /16 HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(other); err != nil {
		t.Error(err)
	}
	r := bufio.NewReader(slow)
	for i := range requests {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 64<<10 || err != nil {
			t.Fatalf("answer %d: %d B, %v", i, n, err)
		}
	}
	sent.Wait()
}
