package lb

import (
	"net"
	"testing"

	"github.com/dengine/dengine/internal/edge/loop"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A bug that is met in a link costs the connections of those who wait there, and no more.
func TestBugInALink(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Listen, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0"
	b, err := New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	w := b.workers.all[0]
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	be := b.registry.backends[0]
	be.pool.open++
	w.stockOf(be).out++
	l := &link{w: w, be: be, fd: fds[0], u: newUpstream(ours, 4096)}
	s := &seat{w: w, guest: &guest{}, fd: fds[1], backend: be, set: b.set.Load(), link: l}
	l.queue, l.asked = []*seat{s, nil}, 2
	for fd, m := range map[int]loop.Member{l.fd: l, s.fd: s} {
		if err := w.Add(fd, m); err != nil {
			t.Fatal(err)
		}
	}
	w.guests[s.guest] = s
	b.inFlight.Add(1)
	be.busy.Add(1)
	w.Guard(l, func(loop.Member) { panic("a bug") })
	if n := b.inFlight.Load(); n != 0 || len(w.guests) > 0 || be.busy.Load() != 0 {
		t.Errorf("%d in flight, %d guests, %d busy", n, len(w.guests), be.busy.Load())
	}
}
