package sock

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

// pair is a TCP connection's two ends; the first is ours.
func pair(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	theirs, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := New(ours)
	if p.socket == nil {
		t.Fatal("a TCP connection without a socket")
	}
	for _, c := range []net.Conn{p, theirs} {
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return p, theirs
}

// What does not fit the kernel's buffers at once arrives whole, both ways at once.
func TestSocketPassesOnWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	sent := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(sent)
	go func() {
		_, _ = io.Copy(theirs, theirs)
		_ = theirs.Close()
	}()
	go func() {
		if n, err := ours.Write(sent); n != len(sent) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		_ = ours.Conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(ours)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back, the same: %v, %v", len(got), len(sent), bytes.Equal(got, sent), err)
	}
	if n, err := ours.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}

// A reader and a writer that wait end with their deadline, and when the connection is closed.
func TestSocketDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		by   func(*Conn) error
		want error
	}{
		"deadline": {func(p *Conn) error { return p.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"closed":   {(*Conn).Close, net.ErrClosed},
	} {
		for what, wait := range map[string]func(*Conn) error{
			"read": func(p *Conn) error { _, err := p.Read(make([]byte, 1)); return err },
			"write": func(p *Conn) error {
				for piece := make([]byte, 1<<20); ; {
					if _, err := p.Write(piece); err != nil {
						return err
					}
				}
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				ours, _ := pair(t)
				if name == "deadline" { // one goroutine at a time sets them
					if err := end.by(ours); err != nil {
						t.Fatal(err)
					}
				} else {
					time.AfterFunc(20*time.Millisecond, func() { _ = end.by(ours) })
				}
				if err := wait(ours); !errors.Is(err, end.want) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// A reset is told as one, of a write as of a read.
func TestSocketTellsOfAReset(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	if err := theirs.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if _, err := ours.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("reading: %v", err)
	}
	if n, err := ours.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
}
