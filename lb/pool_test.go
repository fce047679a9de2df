package lb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

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
	for end := time.Now().Add(10 * time.Second); ; <-tick.C {
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
	far := time.Now().Add(time.Minute)
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
		case <-time.After(10 * time.Second):
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
	far := time.Now().Add(time.Minute)
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
