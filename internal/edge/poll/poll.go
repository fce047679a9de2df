// Package poll waits for many sockets in one goroutine (epoll(7), edge-triggered). Go's
// own poller wakes a goroutine for each; who has a little to do for each of many saves
// the goroutine, its stack and its turn in the scheduler.
//
// Who waits does so in a system call, and holds one of Go's processors meanwhile
// (runtime.GOMAXPROCS), until the runtime takes it away: there should be one more than
// there are goroutines that wait here.
package poll

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
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
	watched  = Readable | Writable | Ended | edge // Broken comes unasked
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

// Poller is for one goroutine, but for Wake.
type Poller struct {
	epoll, wake int
	woken       atomic.Bool
	raw         [atOnce]unix.EpollEvent
	events      [atOnce]Event
	n           int // how many events there are
	err         error
}

// New returns a Poller without sockets.
func New() (*Poller, error) {
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
	if err := p.Add(wake, 0); err != nil {
		return nil, fmt.Errorf("make a poller: %w", errors.Join(err, p.Close()))
	}
	return p, nil
}

// Add watches a socket, which must not wait. What is there already is news as well. The
// tag comes with each event: of a socket that was removed one may be under way, and its
// number be another's by then.
func (p *Poller) Add(fd int, tag int32) error {
	e := unix.EpollEvent{Events: watched, Fd: int32(fd), Pad: tag}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &e))
}

// Remove ends that.
func (p *Poller) Remove(fd int) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil))
}

// Wait returns news, which is there until the next Wait, or nothing once the time has
// passed or Wake was called. Less than zero is for ever.
func (p *Poller) Wait(most time.Duration) ([]Event, error) {
	if p.n, p.err = p.look(); p.n == 0 && p.err == nil && most != 0 {
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

// look does not wait. Go's scheduler is not told of it, as package sock's calls have it.
func (p *Poller) look() (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.raw[0])), atOnce, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
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
	return errors.Join(os.NewSyscallError("close", unix.Close(p.wake)), os.NewSyscallError("close", unix.Close(p.epoll)))
}
