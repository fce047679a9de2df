package lb

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

const (
	// bundleTick is how often a bundle looks for writes that have waited for too long.
	bundleTick = 50 * time.Millisecond
	// bundleStuck is after how long a node that reads nothing is given up.
	bundleStuck = time.Second
	// bundleIdle is after how many ticks without a write a bundle ends.
	bundleIdle = 200
)

var (
	// errUnbundled says that a node takes no requests in frames.
	errUnbundled = errors.New("the backend takes no bundles of writes")
	// errUnasked says that a backend sent more than it was asked for.
	errUnasked = fmt.Errorf("%w: it was not asked for", errBadAnswer)
	// errBundleIdle ends a bundle that nobody uses.
	errBundleIdle = errors.New("nobody uses the bundle")
)

// bundle is a connection to a node on which many numbered writes are under way, each
// in a frame with its place (package edge), and each answered as soon as it is decided:
// none waits for another. What was under way when the connection ends is in doubt, as
// on a connection of its own.
type bundle struct {
	of     *bundles
	u      *upstream
	outbox *edge.Outbox

	// Of some, which is never called twice at once.
	part     []byte
	sent     int
	err      error
	sendPart func(fd uintptr)

	// What follows is guarded by the lock of bundles.
	places []*ride // whose answer is to come; nil: free
	free   []uint32
	idle   int // ticks
	served bool
}

// forgotten is at the place of a write that waits for its answer no longer.
var forgotten = new(ride)

// some sends as much of p as there is room for. It is for Outbox.Flush.
func (b *bundle) some(p []byte) (int, error) {
	raw := b.u.Raw()
	if raw == nil {
		return 0, nil
	}
	b.part, b.sent = p, 0
	err := raw.Control(b.sendPart)
	if err == nil {
		err = b.err
	}
	if err != nil {
		b.end()
	}
	return b.sent, err
}

// begin asks a node for a bundle.
func (b *bundle) begin() error {
	if err := b.u.SetDeadline(time.Now().Add(bundleStuck)); err != nil {
		return err
	}
	if _, err := b.u.Conn.Write([]byte("GET /dengine/writes HTTP/1.1\r\nHost: " + b.of.pool.addr +
		"\r\nConnection: Upgrade\r\nUpgrade: " + edge.BundleProtocol + "\r\n\r\n")); err != nil {
		return err
	}
	var a answer
	if err := a.read(b.u.r, false, true); err != nil {
		return err
	}
	if a.status != 101 || !equalFold(a.protocol, edge.BundleProtocol) {
		return errUnbundled
	}
	if _, err := b.u.r.Discard(a.size); err != nil {
		return err
	}
	if b.u.r.Buffered() > 0 {
		return errUnasked
	}
	b.u.r = edge.NewFrameReader(b.u)
	b.sendPart = func(fd uintptr) {
		if b.sent, b.err = sock.Send(fd, b.part); b.err != nil {
			b.sent = 0
		}
		if b.err == unix.EAGAIN {
			b.err = nil
		}
	}
	b.outbox = edge.NewOutbox(func(p []byte) error {
		err := b.u.SetWriteDeadline(time.Now().Add(bundleStuck))
		if err == nil {
			_, err = b.u.Conn.Write(p)
		}
		if err != nil {
			b.end()
		}
		return err
	})
	return b.u.SetReadDeadline(time.Now().Add(bundleTick))
}

// run reads answers until the bundle ends.
func (b *bundle) run() {
	for {
		at, block, err := edge.NextFrame(b.u.r)
		switch {
		case err == nil:
			err = b.give(at, block)
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = b.tick(time.Now())
		}
		if err != nil {
			b.broken(err)
			return
		}
	}
}

// give ends the wait of the write at a place with its answer.
func (b *bundle) give(at uint32, block []byte) error {
	s := b.of
	s.mu.Lock()
	if int(at) >= len(b.places) || b.places[at] == nil {
		s.mu.Unlock()
		return errUnasked
	}
	r := b.places[at]
	b.places[at] = nil
	b.free = append(b.free, at)
	b.served = true
	if r != forgotten {
		r.block = append(r.block[:0], block...)
	}
	s.mu.Unlock()
	if r != forgotten {
		s.rides.Add(1)
		r.end(nil)
	}
	return nil
}

// tick sends writes away that have waited for as long as they may, and ends a bundle
// that nobody uses. The read deadline has passed.
func (b *bundle) tick(now time.Time) error {
	s := b.of
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, r := range b.places {
		if r != nil && r != forgotten && !now.Before(r.by) {
			b.places[at] = forgotten
			r.end(os.ErrDeadlineExceeded)
		}
	}
	waits := b.waits()
	if b.idle++; b.served || waits {
		b.idle, b.served = 0, false
	}
	if b.idle > bundleIdle || s.ended && !waits {
		b.leave()
		return errBundleIdle // it is nobody's
	}
	return b.u.SetReadDeadline(now.Add(bundleTick))
}

// waits says whether anybody waits for an answer; the lock is held.
func (b *bundle) waits() bool {
	return slices.ContainsFunc(b.places, func(r *ride) bool { return r != nil && r != forgotten })
}

// leave takes no more writes; the lock is held.
func (b *bundle) leave() {
	if b.of.open == b {
		b.of.open = nil
	}
}

// end ends a bundle that cannot be trusted: run tells everyone on it, and nobody joins.
func (b *bundle) end() {
	b.of.mu.Lock()
	b.leave()
	b.of.mu.Unlock()
	_ = b.u.Close()
}

// broken ends a bundle whose connection has.
func (b *bundle) broken(err error) {
	s := b.of
	s.mu.Lock()
	b.leave()
	places := b.places
	s.mu.Unlock()
	_ = b.u.Close() // nobody who is sending waits any longer
	for _, r := range places {
		if r != nil && r != forgotten {
			r.end(err)
		}
	}
	s.pool.drop(b.u)
}
