package node

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// openPort opens a Raft port that has no node behind it.
func openPort(t testing.TB, id, run string) *raftPort {
	t.Helper()
	cfg := DefaultConfig()
	cfg.ID, cfg.RaftListen = id, "127.0.0.1:0"
	p, err := listenRaft(cfg, run, func(string, verdict) {}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	p.serve(func(string, question) reply { return reply{Error: "none"} }, nil, func() {})
	t.Cleanup(func() { p.Close() })
	return p
}

// A watch is told the run, is silent, and ends with the port.
func TestWatchStream(t *testing.T) {
	t.Parallel()
	a, b := openPort(t, "a", "run of a"), openPort(t, "b", "run of b")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, _, err := b.connect(ctx, streamWatch, "c", a.Addr().String()); err == nil || !strings.Contains(err.Error(), "this is node a, not c") {
		t.Errorf("a watch for another node: %v", err)
	}
	c, run, err := b.connect(ctx, streamWatch, "a", a.Addr().String())
	if err != nil || run != "run of a" {
		t.Fatalf("%q, %v", run, err)
	}
	defer c.Close()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Streams of raft's count from the hello until raft closes them, by who opened
// them and in which run.
func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	a, b := openPort(t, "a", "1"), openPort(t, "b", "2")
	a.raftOpen.Store(true)
	dialled, err := b.Dial(raft.ServerAddress(a.Addr().String()), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	accepted, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	peer := runOf{"b", "2"}
	if got := a.streamsOf(peer); got != 1 {
		t.Errorf("%d streams", got)
	}
	if got := a.streamsOf(runOf{"b", "1"}); got != 0 {
		t.Errorf("%d streams of another run", got)
	}
	for range 2 {
		if err := accepted.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
	if got := a.streamsOf(peer); got != 0 {
		t.Errorf("%d streams after the end", got)
	}
}

// A peer that does not answer costs no more than its caller's patience.
func TestConnectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := openPort(t, "a", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := p.connect(ctx, streamWatch, "b", silent.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
