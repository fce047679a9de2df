package launcher

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockTries bounds the race with somebody who removes the file meanwhile.
const lockTries = 16

// lockedError says that another process holds a lock.
type lockedError struct{ pid int } // 0: not known

func (e *lockedError) Error() string {
	if e.pid == 0 {
		return "held by another process"
	}
	return fmt.Sprintf("held by pid %d", e.pid)
}

// lock is a file that one process at a time holds, by flock: the kernel lets
// go of it however its holder ends.
type lock struct{ file *os.File }

// acquire takes the lock at path without waiting; a *lockedError where it is
// taken. The file then names the holder's pid.
func acquire(path string) (*lock, error) {
	for range lockTries {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			text, _ := io.ReadAll(io.LimitReader(f, 32))
			pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			return nil, &lockedError{pid}
		}
		if !isAt(f, path) { // its last holder removed it before we had it
			f.Close()
			continue
		}
		if err := writePID(f); err != nil {
			f.Close()
			return nil, err
		}
		return &lock{f}, nil
	}
	return nil, fmt.Errorf("lock %s: the file keeps vanishing", path)
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func isAt(f *os.File, path string) bool {
	ours, err1 := f.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(ours, there)
}

// release removes the file, then lets go: nobody ever holds a removed file.
func (l *lock) release() {
	_ = os.Remove(l.file.Name())
	l.file.Close()
}
