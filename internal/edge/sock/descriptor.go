package sock

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var errNoDescriptor = errors.New("the connection has no descriptor")

// Duplicate is another descriptor of a connection, which Go's poller does not know: a
// worker's. The connection goes on until both are closed.
func Duplicate(raw syscall.RawConn) (fd int, err error) {
	if raw == nil {
		return -1, errNoDescriptor
	}
	if e := raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return -1, e
	}
	return fd, err
}

// ConnOf makes a worker's descriptor, which it closes, a connection again.
func ConnOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "")
	c, err := net.FileConn(f)
	return c, errors.Join(err, f.Close())
}
