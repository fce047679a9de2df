package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits into the kernel's address of a unix socket.
const maxSocketPath = 103

// DefaultSocket is the control socket's path for a port offset: in the user's
// runtime folder, else in one of the user's own below the temporary one.
func DefaultSocket(runtimeDir, tempDir string, uid, portOffset int) string {
	dir := filepath.Join(tempDir, "dengine-"+strconv.Itoa(uid))
	if runtimeDir != "" {
		dir = filepath.Join(runtimeDir, "dengine")
	}
	return filepath.Join(dir, "up-"+strconv.Itoa(portOffset)+".sock")
}

// socket is the control socket and the lock that makes it ours.
type socket struct {
	net.Listener
	path string
	lock *lock
}

// listenSocket opens the control socket, 0600, in a folder that only its user
// can enter. A socket that a killed run left is replaced.
func listenSocket(ctx context.Context, path string) (*socket, error) {
	dir := filepath.Dir(path)
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	l, err := acquire(path + ".lock")
	var taken *lockedError
	if errors.As(err, &taken) {
		return nil, fmt.Errorf("a dengine-up is running already (socket %s, %w); stop it with \"down\", or start another with another --port-offset", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock socket %s: %w", path, err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSocket {
		l.release()
		return nil, fmt.Errorf("socket %s: there is something else at this path", path)
	}
	_ = os.Remove(path)
	// The mode is set before the socket gets its name: no moment passes in
	// which anybody else could connect.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	ln, err := lc.Listen(ctx, "unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600) // not every system honours the mode above
	}
	if err != nil {
		l.release()
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	return &socket{Listener: ln, path: path, lock: l}, nil
}

// privateDir makes dir if it is missing. A folder that others can write to
// could have its socket exchanged.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make socket folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("socket folder: %w", err)
	}
	if !info.IsDir() || !isOurs(info) || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("socket folder %s: must be a folder of your own that nobody else can write to; chmod it, or name another --socket", dir)
	}
	return nil
}

// remove closes the socket, takes it away, and lets the next run have it.
func (s *socket) remove() {
	_ = s.Listener.Close() // also removes the file
	_ = os.Remove(s.path)
	s.lock.release()
}
