package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// answering serves each connection with what answer makes of it.
func answering(t *testing.T, answer func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go answer(conn)
		}
	}()
	return ln.Addr().String()
}

// always answers every request with the same bytes.
func always(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		request := make([]byte, len(paceRequest))
		for {
			if _, err := io.ReadFull(conn, request); err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

const (
	paceRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	paceAnswer  = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
)

func testPace(addr string) pace {
	return pace{
		addr: addr, request: []byte(paceRequest), answer: 3, connections: 4, rate: 1000,
		warmUp: 50 * time.Millisecond, length: 200 * time.Millisecond,
	}
}

// Every request that is due counts once, and none of the warm-up.
func TestPaceCountsWhatIsDue(t *testing.T) {
	t.Parallel()
	p := testPace(answering(t, always(paceAnswer)))
	found, err := p.run()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.took) != 200 || found.answered+found.late != 250 {
		t.Errorf("%d counted, %d answered, %d late; want 200, and 250 together", len(found.took), found.answered, found.late)
	}
	for _, took := range found.took {
		if took <= 0 {
			t.Errorf("answered %v after it was due", took)
		}
	}
}

// A server that stalls is seen by every request that is due meanwhile: a closed loop
// would have sent four.
func TestPaceCountsWhatWaitsUnsent(t *testing.T) {
	t.Parallel()
	p := testPace(answering(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }))
	found, err := p.run()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.took) != 200 || found.late != 200 || found.answered != 0 {
		t.Fatalf("%d counted, %d late, %d answered; want 200, 200, 0", len(found.took), found.late, found.answered)
	}
	slices.Sort(found.took)
	// The last that was due waited for grace at least, the first for all the length.
	if found.took[0] < grace || found.took[199] < p.length+grace {
		t.Errorf("from %v to %v; want at least %v and %v", found.took[0], found.took[199], grace, p.length+grace)
	}
}

// A server that stalls for a while: what is due meanwhile waits for its answer, and
// is late by what was left of the stall when it was due.
func TestPaceCountsFromWhenItWasDue(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := testPace("")
	p.warmUp = 0
	var first sync.Once
	p.addr = answering(t, func(conn net.Conn) {
		request := make([]byte, len(paceRequest))
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		first.Do(func() { time.AfterFunc(p.length/2, func() { close(release) }) })
		<-release
		if _, err := io.WriteString(conn, paceAnswer); err == nil {
			always(paceAnswer)(conn)
		}
	})
	found, err := p.run()
	if err != nil {
		t.Fatal(err)
	}
	stalled := 0
	for _, took := range found.took {
		if took >= p.length/4 {
			stalled++
		}
	}
	if want := int(p.rate*p.length.Seconds()) / 8; len(found.took) != 200 || stalled < want {
		t.Errorf("%d of %d were late by %v and more, want at least %d, in a stall of %v", stalled, len(found.took), p.length/4, want, p.length/2)
	}
}

// What fails is not fast.
func TestPaceFails(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n": "refused: HTTP/1.1 503",
		"HTTP/1.1 200 OK\r\n\r\nabc":                                    "no Content-Length",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab":                "has 2 B, want at least 3",
		paceAnswer + "more":                                             "not asked for",
		strings.Repeat("x", 17<<10):                                     "longer than",
	} {
		_, err := testPace(answering(t, always(answer))).run()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", answer, err, want)
		}
	}
	_, err := testPace(answering(t, func(conn net.Conn) { conn.Close() })).run()
	if err == nil {
		t.Error("connections that end pass")
	}
	if _, err := testPace("127.0.0.1:1").run(); err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("nobody listens: %v", err)
	}
}

// Answers come in pieces of any size.
func TestPaceConnTakesPieces(t *testing.T) {
	t.Parallel()
	text := "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"
	for size := 1; size <= len(text); size++ {
		c := &paceConn{rest: -1}
		for range 2 { // and one after the other
			dones := 0
			for piece := range slices.Chunk([]byte(text), size) {
				done, behind, err := c.take(piece, 5)
				if err != nil || len(behind) > 0 {
					t.Fatalf("pieces of %d B: %v, and %q behind", size, err, behind)
				}
				if done {
					dones++
				}
			}
			if dones != 1 || c.rest != -1 {
				t.Errorf("pieces of %d B: whole %d times, %d left", size, dones, c.rest)
			}
		}
	}
}

// It is met at the rate that was asked for.
func TestPaceDue(t *testing.T) {
	t.Parallel()
	p := pace{rate: 1000, warmUp: time.Second, length: time.Second}
	if p.due(0) != 0 || p.due(1500) != 1500*time.Millisecond {
		t.Errorf("%v, %v", p.due(0), p.due(1500))
	}
	got := fmt.Sprint(p.counts(999), p.counts(1000), p.counts(1999), p.counts(2000))
	if got != "false true true false" {
		t.Error(got)
	}
}
