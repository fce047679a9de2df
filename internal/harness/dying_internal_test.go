package harness

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

// A process that is killed on a busy machine ends its connections some time before
// its ports refuse. Its relay keeps that from its callers.
func TestSlowDeath(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	n, looked := newNetwork(), atomic.Int32{}
	n.dying = func(string) bool {
		if looked.Add(1) == 3 { // three looks long the port seems to be well
			ln.Close()
		}
		return true
	}
	caller, addr := through(t, n, ln)
	if _, err := caller.Write([]byte("word")); err != nil {
		t.Fatal(err)
	}
	for one := make([]byte, 1); ; { // those that only looked whether it listens say nothing
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := c.Read(one)
		c.Close()
		if n > 0 {
			break
		}
	}
	if _, err := caller.Read(make([]byte, 1)); err == nil {
		t.Fatal("the dead go on talking")
	}
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the port after %d looks: %v, want a refused connection", looked.Load(), err)
	}
}
