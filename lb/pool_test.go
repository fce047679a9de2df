package lb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// acceptor is a backend that accepts and says nothing.
func acceptor(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// want asks for a connection beside the test.
func (p *pool) want(deadline time.Time) <-chan error {
	out := make(chan error, 1)
	go func() {
		u, err := p.get(context.Background(), deadline, false)
		if err == nil {
			p.drop(u)
		}
		out <- err
	}()
	return out
}

func (p *pool) waiters(t *testing.T, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		p.mu.Lock()
		got := len(p.waiting)
		p.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d wait, want %d", got, n)
		}
	}
}

// Who waits for a connection to a backend that was removed must look for another
// backend at once.
func TestPoolCloseWakesWaiters(t *testing.T) {
	t.Parallel()
	p := newPool(acceptor(t), poolLimits{open: 1, idle: 1, idleFor: time.Minute, bufferSize: 4096})
	far := time.Now().Add(time.Hour)
	u, err := p.get(context.Background(), far, false)
	if err != nil {
		t.Fatal(err)
	}
	first, second := p.want(far), p.want(far)
	p.waiters(t, 2)
	p.close()
	for _, ch := range []<-chan error{first, second} {
		select {
		case err := <-ch:
			if !errors.Is(err, errPoolClosed) {
				t.Errorf("got %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it still waits")
		}
	}
	p.put(u)
	if n := p.size(); n != 0 {
		t.Errorf("%d are open", n)
	}
}

// After a reload with a lower limit, connections that end are not replaced until
// there are fewer than that.
func TestPoolShrinks(t *testing.T) {
	t.Parallel()
	limits := poolLimits{open: 3, idle: 3, idleFor: time.Minute, bufferSize: 4096}
	p := newPool(acceptor(t), limits)
	far := time.Now().Add(time.Hour)
	var taken []*upstream
	for range 3 {
		u, err := p.get(context.Background(), far, false)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, u)
	}
	waiting := p.want(far)
	p.waiters(t, 1)
	limits.open = 1
	p.configure(limits)
	for i, u := range taken {
		p.waiters(t, 1)
		p.drop(u)
		if i < 2 && p.size() != 2-i {
			t.Errorf("after %d ended, %d are open", i+1, p.size())
		}
	}
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	if n := p.size(); n != 0 {
		t.Errorf("%d are open", n)
	}
}

func TestAcceptErrorsThatPass(t *testing.T) {
	t.Parallel()
	wrap := func(e error) error { return &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", e)} }
	for _, e := range []unix.Errno{unix.EMFILE, unix.ECONNABORTED, unix.EPROTO, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EPERM} {
		if !passing(wrap(e)) {
			t.Errorf("%v ends the balancer", e)
		}
	}
	for _, e := range []error{unix.EBADF, unix.EINVAL, unix.ENOTSOCK, io.EOF} {
		if passing(fmt.Errorf("accept: %w", e)) {
			t.Errorf("%v is tried again for ever", e)
		}
	}
}

// Between the look at the View and the first byte a new leader may be published:
// either the claim sees it, or the connection is broken.
func TestClaimOrBreak(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	for i := range cfg.Backends {
		cfg.Backends[i].HTTP = acceptor(t)
	}
	lead := func(g *registry, i int, term uint64) {
		g.observe(g.backends[i], nil, healthcheck.Observation{Up: true, Report: healthcheck.Report{Primary: true, Term: term}})
	}
	far := time.Now().Add(time.Hour)
	for round := range 300 {
		g := newRegistry(context.Background(), cfg, zap.NewNop())
		lead(g, 0, 1)
		be, reign := g.backends[0], g.view.Load().reign
		u, err := be.pool.get(context.Background(), far, false)
		if err != nil {
			t.Fatal(err)
		}
		elected := make(chan struct{})
		go func() { defer close(elected); lead(g, 1, 2) }()
		switch round % 3 {
		case 0:
			<-elected // it is too late
		case 1:
			runtime.Gosched()
		}
		claimed := g.claim(u, be, reign)
		<-elected
		be.pool.mu.Lock()
		broken := u.broken
		be.pool.mu.Unlock()
		if claimed && !broken {
			t.Fatal("the write stays with a leader that was replaced")
		}
		be.pool.put(u)
		if n := be.pool.size(); broken && n != 0 || !broken && n != 1 {
			t.Fatalf("broken: %v, and %d connections are kept", broken, n)
		}
		be.pool.close()
	}
}

// A connection that was given back serves somebody else, who did not ask to be
// broken off; and who waits for one must look for the new leader.
func TestBreakOffSparesOthers(t *testing.T) {
	t.Parallel()
	p := newPool(acceptor(t), poolLimits{open: 1, idle: 1, idleFor: time.Minute, bufferSize: 4096})
	far := time.Now().Add(time.Hour)
	get := func() *upstream {
		t.Helper()
		u, err := p.get(context.Background(), far, false)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	u := get()
	u.breakable.Store(true)
	p.put(u)
	if again := get(); again != u {
		t.Fatal("the connection was not kept")
	}
	waiting := p.want(far)
	p.waiters(t, 1)
	if n := p.breakOff(); n != 0 {
		t.Errorf("%d were broken off", n)
	}
	if err := <-waiting; !errors.Is(err, errPoolLeft) {
		t.Errorf("who waited got %v", err)
	}
	if _, err := u.Conn.Write([]byte("x")); err != nil {
		t.Errorf("the other request's connection: %v", err)
	}
}

// A backend is not drowned in handshakes, and whoever is not let dial gets the
// first connection that is free.
func TestPoolDialsAFewAtOnce(t *testing.T) {
	t.Parallel()
	p := newPool(acceptor(t), poolLimits{open: 10 * maxDials, idle: 1, idleFor: time.Minute, bufferSize: 4096})
	far := time.Now().Add(time.Hour)
	u, err := p.get(context.Background(), far, false)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.open, p.dialing = p.open+maxDials, maxDials
	p.mu.Unlock()
	first := p.want(far)
	p.waiters(t, 1)
	second := p.want(far)
	p.waiters(t, 2)
	p.put(u) // goes to the first, who drops it
	if err := <-first; err != nil {
		t.Error(err)
	}
	p.waiters(t, 1)
	p.mu.Lock()
	p.dialing--
	p.letDial()
	p.mu.Unlock()
	if err := <-second; err != nil {
		t.Error(err)
	}
	p.waiters(t, 0)
	if p.dialing != maxDials-1 || p.size() != maxDials {
		t.Errorf("%d are being dialled, %d open", p.dialing, p.size())
	}
}
