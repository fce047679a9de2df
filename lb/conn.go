package lb

import (
	"bufio"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

// errStale says that an idle connection was no longer fit for a request, of which
// nothing was sent.
var errStale = errors.New("the backend closed the connection while it was idle")

// upstream is one connection to a backend. It serves one request at a time.
type upstream struct {
	*sock.Conn
	r     *bufio.Reader
	ahead []byte // what a worker has received of the answer comes first
	wrote bool   // a byte of the request now on it may have left
	used  bool   // it has served a request before
	idle  time.Time

	// breakable: the write on it is broken off when another backend takes the
	// lead. broken: it was; this belongs to the pool's lock.
	breakable atomic.Bool
	broken    bool

	check func(fd uintptr)
	fds   [1]unix.PollFd
	quiet bool // what check found

	trade trade
}

func newUpstream(c net.Conn, bufferSize int) *upstream {
	u := &upstream{Conn: sock.New(c)}
	u.r = bufio.NewReaderSize(u, bufferSize)
	u.check = func(fd uintptr) { u.quiet = !pollNow(&u.fds, fd, unix.POLLIN|unix.POLLRDHUP) }
	u.trade.step = u.trade.once
	return u
}

// attach makes c the connection, after a worker has had it.
func (u *upstream) attach(c net.Conn) { u.Conn = sock.New(c) }

// Write sends p. Where the kernel took none of it, none of it has left.
func (u *upstream) Write(p []byte) (int, error) {
	n, err := u.Conn.Write(p)
	u.wrote = u.wrote || n > 0
	return n, err
}

// fresh says whether an idle connection is still fit for a request: the backend
// has neither closed it nor sent anything. It costs one system call, and is
// what keeps a write from ending in doubt only because a backend closed its
// idle connections. A close that is still on its way cannot be seen.
func (u *upstream) fresh() bool {
	if u.r.Buffered() > 0 {
		return false
	}
	if u.Raw() == nil {
		return true
	}
	u.quiet = false
	if err := u.Raw().Control(u.check); err != nil {
		return false
	}
	return u.quiet
}

// clientLeft says whether the other side of a client's connection is gone. A
// client that has only closed its sending half counts as gone: it cannot be told
// from one that has left, and HTTP gives it no reason to do so. Peeking at the
// data would be blind behind pipelined bytes.
func clientLeft(c net.Conn) bool {
	p, ok := c.(interface{ Raw() syscall.RawConn })
	if !ok || p.Raw() == nil {
		return false
	}
	var fds [1]unix.PollFd
	left := true
	if err := p.Raw().Control(func(fd uintptr) { left = pollNow(&fds, fd, unix.POLLRDHUP) }); err != nil {
		return true
	}
	return left
}

// pollNow says whether any of the events, an error or a hang-up is there now.
func pollNow(fds *[1]unix.PollFd, fd uintptr, events int16) bool {
	fds[0] = unix.PollFd{Fd: int32(fd), Events: events}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err == unix.EINTR {
			continue
		}
		return err != nil || n > 0
	}
}
