// Package poll waits for many sockets in one goroutine (epoll(7), edge-triggered). Go's
// own poller wakes a goroutine for each; who has a little to do for each of many saves
// the goroutine, its stack and its turn in the scheduler.
//
// Who waits in a system call (InKernel) holds one of Go's processors meanwhile
// (runtime.GOMAXPROCS), until the runtime takes it away: there should be one more than
// there are goroutines that do so. Who waits in Go's poller (InGo), which watches the
// epoll of this one, holds none, and a thread more is woken for each wait.
package poll

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What an Event says of a socket; several may be true.
const (
	Readable = unix.EPOLLIN
	Writable = unix.EPOLLOUT
	Ended    = unix.EPOLLRDHUP                    // the other side sends no more: what it sent may still be there to be read
	Broken   = unix.EPOLLERR | unix.EPOLLHUP      // nothing goes either way any more
	asked    = Readable | Writable | Ended | edge // Broken comes unasked
	edge     = 1 << 31                            // EPOLLET, which unix has as a negative number
)

// Event is news of a socket. It comes once for each change: who is told that a socket is
// Readable reads until there is nothing, or until less came than there was room for and
// it has not Ended.
type Event struct {
	FD   int
	Tag  int32 // as given to Add
	What uint32
}

// atOnce is how many events one Wait returns at most.
const atOnce = 128

// Where is where a Poller waits.
type Where bool

// What Where says.
const (
	InKernel Where = false
	InGo     Where = true
)

// Poller is for one goroutine, but for Wake.
type Poller struct {
	epoll, wake int
	inGo        *watched // nil: in the kernel
	woken       atomic.Bool
	raw         [atOnce]unix.EpollEvent
	events      [atOnce]Event
	n           int // how many events there are
	err         error
}

// New returns a Poller without sockets.
func New(where Where) (*Poller, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a poller: %w", os.NewSyscallError("epoll_create1", err))
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("make a poller: %w", os.NewSyscallError("eventfd", err))
	}
	p := &Poller{epoll: ep, wake: wake}
	if where == InGo {
		p.inGo, err = watch(ep, p.look)
	}
	if err = errors.Join(err, p.Add(wake, 0)); err != nil {
		return nil, fmt.Errorf("make a poller: %w", errors.Join(err, p.Close()))
	}
	return p, nil
}

// Add watches a socket, which must not wait. What is there already is news as well. The
// tag comes with each event: of a socket that was removed one may be under way, and its
// number be another's by then.
func (p *Poller) Add(fd int, tag int32) error { return p.control(unix.EPOLL_CTL_ADD, fd, tag) }

// Remind makes what is there news once more.
func (p *Poller) Remind(fd int, tag int32) error { return p.control(unix.EPOLL_CTL_MOD, fd, tag) }

func (p *Poller) control(how, fd int, tag int32) error {
	e := unix.EpollEvent{Events: asked, Fd: int32(fd), Pad: tag}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, how, fd, &e))
}

// Remove ends that.
func (p *Poller) Remove(fd int) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil))
}

// Wait returns news, which is there until the next Wait, or nothing once the time has
// passed or Wake was called. Less than zero is for ever.
func (p *Poller) Wait(most time.Duration) ([]Event, error) {
	switch {
	case p.inGo != nil && most != 0:
		p.n, p.err = 0, nil                       // where the time has passed already, it does not look
		if err := p.inGo.wait(most); err != nil { // it looks first
			return nil, err
		}
	case !p.look() && most != 0:
		p.park(most)
	}
	if p.err != nil && p.err != unix.EINTR {
		return nil, os.NewSyscallError("epoll_wait", p.err)
	}
	events := p.events[:0]
	for i := range p.n {
		e := &p.raw[i]
		if int(e.Fd) == p.wake {
			p.hush()
			continue
		}
		events = append(events, Event{FD: int(e.Fd), Tag: e.Pad, What: e.Events})
	}
	return events, nil
}

// look does not wait, and says whether it found something. Go's scheduler is not told of it,
// as package sock's calls have it.
func (p *Poller) look() (found bool) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.raw[0])), atOnce, 0, 0, 0)
	if p.n, p.err = int(n), nil; errno != 0 {
		p.n, p.err = 0, errno
	}
	return p.n > 0 || p.err != nil
}

// park waits until something has come.
func (p *Poller) park(most time.Duration) {
	ms := -1
	if most > 0 {
		ms = int(most/time.Millisecond) + 1
	}
	p.n, p.err = unix.EpollWait(p.epoll, p.raw[:], ms)
}

// Wake ends the Wait that is under way, or the next one. Any goroutine may call it.
func (p *Poller) Wake() {
	if p.woken.Swap(true) {
		return
	}
	one := [8]byte{1}
	if _, err := unix.Write(p.wake, one[:]); err != nil {
		panic("an eventfd takes a one: " + err.Error())
	}
}

func (p *Poller) hush() {
	var count [8]byte
	_, _ = unix.Read(p.wake, count[:]) // it is there, or was read before
	p.woken.Store(false)
}

// Close gives up the poller, not the sockets. Nobody may be in Wait, or call Wake.
func (p *Poller) Close() error {
	err := os.NewSyscallError("close", unix.Close(p.wake))
	if p.inGo != nil {
		return errors.Join(err, p.inGo.file.Close())
	}
	return errors.Join(err, os.NewSyscallError("close", unix.Close(p.epoll)))
}

// watched is an epoll that Go's poller watches.
type watched struct {
	file     *os.File // closes the epoll
	conn     syscall.RawConn
	deadline time.Time // of file; zero: none
	look     func(fd uintptr) (done bool)
}

func watch(epoll int, look func() bool) (*watched, error) {
	err := unix.SetNonblock(epoll, true) // else os takes it for a file that cannot be polled
	w := &watched{file: os.NewFile(uintptr(epoll), "epoll")}
	w.look = func(uintptr) bool { return look() }
	if err == nil {
		w.conn, err = w.file.SyscallConn()
	}
	if err == nil {
		err = w.file.SetDeadline(time.Time{}) // fails where Go's poller does not have it
	}
	return w, err
}

// wait waits until look finds something, or for so long. A deadline costs the runtime a
// timer: one that is set already, and is no later than wanted, stands, and the wait may end
// a little early.
func (w *watched) wait(most time.Duration) error {
	if want := time.Now().Add(most); most > 0 && (w.deadline.IsZero() || want.Before(w.deadline)) {
		if err := w.file.SetReadDeadline(want); err != nil {
			return err
		}
		w.deadline = want
	}
	err := w.conn.Read(w.look)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	w.deadline = time.Time{}
	return w.file.SetReadDeadline(time.Time{})
}
