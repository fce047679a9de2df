// Package poll waits for many sockets in one goroutine (epoll(7), edge-triggered). Go's
// own poller wakes a goroutine for each; who has a little to do for each of many saves
// the goroutine, its stack and its turn in the scheduler.
package poll

import (
	"errors"
	"fmt"
	"os"
	"runtime"
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
		return nil, errors.Join(err, p.Close())
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
// passed or Wake was called. Less than zero is for ever. It lets other goroutines
// run before it waits, and so it should be called often.
func (p *Poller) Wait(most time.Duration) ([]Event, error) {
	n, err := p.look()
	if n == 0 && err == nil && most != 0 {
		runtime.Gosched() // others may have waited for a turn
		n, err = unix.EpollWait(p.epoll, p.raw[:], millis(most))
	}
	if err != nil && err != unix.EINTR {
		return nil, os.NewSyscallError("epoll_wait", err)
	}
	events := p.events[:0]
	for i := range max(n, 0) {
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

// millis rounds up: who waits until a time does not come before it.
func millis(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int((d + time.Millisecond - 1) / time.Millisecond)
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
