package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/dengine/dengine/internal/edge/sock"
)

// paceConn is one connection of a pace: a socket that Go's runtime knows nothing of,
// since that wakes up to a millisecond late where little happens.
type paceConn struct {
	fd      int
	current int // the request that is sent next, or has been and is not answered
	head    []byte
	rest    int    // of the answer's body; -1 while its head is not whole
	unsent  []byte // of the request: the kernel had no room
}

// dialPace connects to an IPv4 address with a port.
func dialPace(addr string) (*paceConn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &paceConn{fd: fd, rest: -1}
	err = errors.Join(
		os.NewSyscallError("connect", syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})),
		os.NewSyscallError("TCP_NODELAY", syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)),
		os.NewSyscallError("non-blocking", syscall.SetNonblock(fd, true)),
	)
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *paceConn) close() { _ = syscall.Close(c.fd) }

// send sends what the kernel has room for. The request before it was answered.
func (c *paceConn) send(request []byte) error {
	n, err := sock.Send(uintptr(c.fd), request)
	if err != nil && err != syscall.EAGAIN {
		return os.NewSyscallError("write", err)
	}
	c.unsent = append(c.unsent[:0], request[n:]...) // which may be what was unsent
	return nil
}

// receive reads what there is, up to the size of buf; nothing where that is nothing yet.
func (c *paceConn) receive(buf []byte) ([]byte, error) {
	n, err := sock.Receive(uintptr(c.fd), buf)
	switch {
	case err == syscall.EAGAIN:
		return nil, nil
	case err == io.EOF:
		return nil, errors.New("the connection was closed before the answer was whole")
	case err != nil:
		return nil, os.NewSyscallError("read", err)
	}
	return buf[:n], nil
}

// take is what an answer goes on with. It says whether that is whole now, and what of b
// is behind it.
func (c *paceConn) take(b []byte, atLeast int) (done bool, behind []byte, err error) {
	if c.rest < 0 {
		head := b
		if len(c.head) > 0 {
			c.head = append(c.head, b...)
			head = c.head
		}
		end := bytes.Index(head, []byte("\r\n\r\n"))
		if end < 0 {
			return false, nil, c.keep(head)
		}
		if c.rest, err = bodyLength(head[:end]); err != nil {
			return false, nil, err
		}
		if c.rest < atLeast {
			return false, nil, fmt.Errorf("the answer's body has %d B, want at least %d", c.rest, atLeast)
		}
		b, c.head = head[end+len("\r\n\r\n"):], c.head[:0] // b is read before anything is written there
	}
	if len(b) < c.rest {
		c.rest -= len(b)
		return false, nil, nil
	}
	b, c.rest = b[c.rest:], -1
	return true, b, nil
}

// errUnasked is of a server that answers what nobody asked.
var errUnasked = errors.New("the answer is followed by something that was not asked for")

// keep keeps what there is of a head until more comes.
func (c *paceConn) keep(head []byte) error {
	const longest = 16 << 10
	if len(head) > longest {
		return fmt.Errorf("the head of an answer is longer than %d B", longest)
	}
	if len(c.head) == 0 {
		c.head = append(c.head, head...)
	}
	return nil
}

// bodyLength is that of an answer with this head, without the empty line.
func bodyLength(head []byte) (int, error) {
	first, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(first, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("refused: %s", first)
	}
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			return strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	return 0, errors.New("the answer has no Content-Length")
}

// poller waits for sockets, to the microsecond, on the one thread that it was opened
// on.
type poller struct {
	fd     int
	events []syscall.EpollEvent
	buf    []byte // to read into
}

func (p *poller) open(connections int) error {
	const timerSlack, nanosecond = 29, 1 // man 2 prctl, PR_SET_TIMERSLACK: how late this thread may be woken
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, timerSlack, nanosecond, 0); e != 0 {
		return os.NewSyscallError("prctl", e)
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	*p = poller{fd: fd, events: make([]syscall.EpollEvent, connections), buf: make([]byte, 64<<10)}
	return nil
}

// add watches a socket; name is the Fd of its events.
func (p *poller) add(fd, name int) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(name)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &event))
}

// writable watches for room to write too, or no more.
func (p *poller) writable(fd, name int, too bool) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(name)}
	if too {
		event.Events |= syscall.EPOLLOUT
	}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_MOD, fd, &event))
}

// wait returns what can be read, at once where that is something, else within that
// time; nothing where a signal came first.
func (p *poller) wait(within time.Duration) ([]syscall.EpollEvent, error) {
	const epollPwait2 = 441 // Linux 5.11, on every kind of processor; epoll_wait counts in milliseconds
	limit := syscall.NsecToTimespec(int64(max(within, 0)))
	n, _, e := syscall.Syscall6(epollPwait2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(&limit)), 0, 0)
	if e != 0 && e != syscall.EINTR {
		return nil, os.NewSyscallError("epoll_pwait2", e)
	}
	if e != 0 {
		n = 0
	}
	return p.events[:n], nil
}

func (p *poller) close() {
	if p.events != nil {
		_ = syscall.Close(p.fd)
	}
}
