package harness

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a connection through a relay of node n, as a client's, to one who says
// everything back.
func echo(t *testing.T, n *Network) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	c, _ := through(t, n, ln)
	return c
}

// through is a connection through a relay of node n, as a client's, to ln, and the
// address of the relay.
func through(t *testing.T, n *Network, ln net.Listener) (c net.Conn, addr string) {
	t.Helper()
	addr = FreePorts(t, 1)[0]
	n.relay("n", Clients, addr, ln.Addr().String())
	t.Cleanup(n.close)
	Eventually(t, "the relay", func() (err error) {
		c, err = net.Dial("tcp", addr)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c, addr
}

// say says a word and returns how long it took to come back.
func say(c net.Conn, patience time.Duration) (time.Duration, error) {
	begin := time.Now()
	if err := c.SetDeadline(begin.Add(patience)); err != nil {
		return 0, err
	}
	if _, err := c.Write([]byte("word")); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return time.Since(begin), err
}

func TestSlowLink(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	c := echo(t, n)
	if _, err := say(c, Patience); err != nil {
		t.Fatal(err)
	}
	heal := n.Slow(200*time.Millisecond, Both("n", Clients)...)
	if took, err := say(c, Patience); err != nil || took < 300*time.Millisecond {
		t.Errorf("two links that delay by 200 ms, give or take a quarter: %v (%v)", took, err)
	}
	heal()
	Eventually(t, "a fast answer", func() error {
		if took, err := say(c, Patience); err != nil || took > 100*time.Millisecond {
			return errors.Join(err, errors.New(took.String()))
		}
		return nil
	})
}

// A link that loses a little stalls, and one that loses much resets.
func TestLossyLink(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	n.luck = func() float64 { return resetChance + stallChance/2 }
	c := echo(t, n)
	heal := n.Lossy(Link{Clients, "n"})
	if took, err := say(c, Patience); err != nil || took < leastStall {
		t.Errorf("stalled for %v (%v)", took, err)
	}
	heal()
	other := newNetwork()
	other.luck = func() float64 { return resetChance / 2 }
	c = echo(t, other)
	if _, err := say(c, Patience); err != nil {
		t.Fatal(err)
	}
	other.Lossy(Link{"n", Clients})
	if _, err := say(c, Patience); err == nil {
		t.Error("the connection was not reset")
	}
}

// What is severed twice passes nothing before both are healed, in whatever order.
func TestSeverIsUndoneByItself(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	c := echo(t, n)
	first := n.Sever(n.Around("n")...)
	second := n.Sever(Link{Clients, "n"})
	first()
	if _, err := say(c, 100*time.Millisecond); err == nil {
		t.Error("it passed, though one of two cuts holds")
	}
	second()
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Errorf("what was held did not arrive: %v", err)
	}
	n.Heal()
	second() // Heal was first: nothing is owed
	if _, err := say(c, Patience); err != nil {
		t.Error(err)
	}
}

// What was said while a node was isolated never arrives.
func TestIsolationForgets(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	c := echo(t, n)
	heal := n.Isolate("n")
	if _, err := say(c, 100*time.Millisecond); err == nil {
		t.Error("it passed")
	}
	heal()
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
		t.Errorf("%q arrived (%v)", b, err)
	}
}
