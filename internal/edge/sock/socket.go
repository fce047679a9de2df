package sock

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendMost is how many bytes go into one system call: meanwhile it holds a processor
// that nothing can take away.
const sendMost = 128 << 10

// socket reads and writes a TCP connection. Its system calls never wait, and so Go's
// scheduler need not be told of them: that would cost a good part of what they do
// themselves, and make the runtime move goroutines between threads for nothing. Who has
// to wait does so as everyone else, in the poller, and deadlines are the connection's.
// Reading is for one goroutine at a time, and so is writing.
type socket struct {
	raw syscall.RawConn

	receive, send func(fd uintptr) (done bool)
	in, out       []byte
	got, put      int
	errIn, errOut error
}

// newSocket returns nil for anything else: what wraps a connection may do more.
func newSocket(c net.Conn) *socket {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.receive = func(fd uintptr) bool {
		s.got, s.errIn = Receive(fd, s.in)
		return s.errIn != unix.EAGAIN
	}
	s.send = func(fd uintptr) bool {
		for s.put < len(s.out) && s.errOut == nil {
			var n int
			n, s.errOut = Send(fd, s.out[s.put:])
			s.put += n
		}
		if s.errOut == unix.EAGAIN {
			s.errOut = nil
			return false
		}
		return true
	}
	return s
}

// Read is net.Conn's.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in = p
	err := s.raw.Read(s.receive)
	s.in = nil
	if err != nil {
		return 0, err
	}
	return s.got, s.errIn
}

// Write is net.Conn's.
func (s *socket) Write(p []byte) (int, error) {
	s.out, s.put, s.errOut = p, 0, nil
	err := s.raw.Write(s.send)
	s.out = nil
	if err == nil {
		err = s.errOut
	}
	return s.put, err
}

// Receive takes what is there: EAGAIN if nothing is, io.EOF at the end. p is not empty.
func Receive(fd uintptr, p []byte) (int, error) {
	n, err := now(unix.SYS_RECVFROM, fd, p, unix.MSG_DONTWAIT)
	received()
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Send sends as much as there is room for, up to sendMost, or EAGAIN. p is not empty.
func Send(fd uintptr, p []byte) (int, error) {
	sending()
	return now(unix.SYS_SENDTO, fd, p[:min(len(p), sendMost)], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// SendAll sends as much as there is room for, and says how much that was.
func SendAll(fd uintptr, p []byte) (n int, err error) {
	for n < len(p) {
		sent, err := Send(fd, p[n:])
		n += sent
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// now does a system call until no signal interrupts it.
func now(trap, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errno
		default:
			return 0, os.NewSyscallError(name(trap), errno)
		}
	}
}

func name(trap uintptr) string {
	if trap == unix.SYS_SENDTO {
		return "sendto"
	}
	return "recvfrom"
}
