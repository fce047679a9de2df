package edge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/dengine/dengine/internal/harness"
	"github.com/valyala/fasthttp"
)

// A server that shuts down waits for no connection whose requests are all answered.
func TestQuickShutsDown(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	k.send(quickGet)
	k.want("quick")
	if err := s.down(); err != nil {
		t.Fatal(err)
	}
	if b, err := k.in.ReadByte(); err != io.EOF {
		t.Errorf("after the shutdown: %q, %v", b, err)
	}
	if err := <-s.ends; err != nil {
		t.Error(err)
	}
}

// A server that shuts down answers what is waited for, and closes the connection then.
func TestQuickShutsDownBehindAnAnswer(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	k.send(waitGet)
	<-s.waits
	down := make(chan error, 1)
	go func() { down <- s.down() }()
	if err := <-s.ends; err != nil { // the port is closed: it has begun
		t.Error(err)
	}
	select {
	case err := <-down:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(150 * time.Millisecond): // fasthttp looks each 100 ms
	}
	s.let <- "at last"
	k.want("at last")
	if b, err := k.in.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %q, %v", b, err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// A connection takes one place, wherever it is, and gives it back when it ends: also when
// the client leaves while an answer is waited for.
func TestQuickCountsConnections(t *testing.T) {
	t.Parallel()
	l := edge.DefaultLimits()
	l.Conns = 2
	s := startQuick(t, l)
	for range 5 {
		one, other := s.talk(t), s.talk(t)
		one.settle()
		other.send(slowGet)
		other.want("served /slow ")
		third, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := fuzzkit.ReadAnswer(bufio.NewReader(third), "GET"); err != nil || a.Status != fasthttp.StatusServiceUnavailable {
			t.Fatalf("one too many: %+v, %v", a, err)
		}
		_ = third.Close()
		one.send(waitGet)
		<-s.waits
		_ = one.Close()
		_ = other.Close()
		s.let <- "to nobody"
		harness.Eventually(t, "room for another two", func() error {
			if n := s.quick.Conns(); n > 0 {
				return fmt.Errorf("%d are open", n)
			}
			return nil
		})
	}
}

// A server that is closed while an answer is waited for ends the connection behind it.
func TestQuickClosesUnderAnAnswer(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	k.send(waitGet)
	<-s.waits
	closed := make(chan struct{})
	go func() {
		s.quick.End()
		close(closed)
	}()
	over, cancel := context.WithTimeout(context.Background(), 0)
	cancel()
	s.quick.Drain(over) // it does not wait
	s.let <- "at last"
	<-closed
	k.want("at last")
	if b, err := k.in.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %q, %v", b, err)
	}
}

// A client that has much to say keeps nobody from being heard, and the server from no end.
func TestQuickHearsEverybody(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	loud, quiet := s.talk(t), s.talk(t)
	var all sync.WaitGroup
	all.Go(func() {
		much := []byte(strings.Repeat(quickGet, 4000))
		for {
			if _, err := loud.Write(much); err != nil {
				return // the server has ended
			}
		}
	})
	all.Go(func() { _, _ = io.Copy(io.Discard, loud.in) })
	for range 50 {
		quiet.send(quickGet)
		quiet.want("quick")
	}
	if err := s.down(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

// Who does not read its answers in time is gone, whatever else it sends.
func TestQuickWaitsForNoReader(t *testing.T) {
	t.Parallel()
	l := edge.DefaultLimits()
	l.WriteTimeout = 300 * time.Millisecond
	k := startQuick(t, l).talk(t)
	k.send(bigGet)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		<-tick.C
		if _, err := io.WriteString(k.TCPConn, "G"); err != nil {
			return
		}
	}
	t.Error("it is still there")
}

// A server that shuts down is not done before a request is that it was given back meanwhile.
func TestQuickShutsDownBehindTheServer(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits(), func(s *quickServer) { s.held = make(chan struct{}) })
	k := s.talk(t)
	k.send(waitGet)
	<-s.waits
	down := make(chan error, 1)
	go func() { down <- s.down() }()
	<-s.ends
	s.let <- letServer
	select {
	case err := <-down:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(150 * time.Millisecond):
	}
	close(s.held)
	k.want("served /wait ")
	if err := <-down; err != nil {
		t.Error(err)
	}
}
