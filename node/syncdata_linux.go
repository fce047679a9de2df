package node

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncData has a file's data on disk when it returns, and no more of its inode than
// it takes to read them: a file that is written over in place costs one write.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// writeOut has a file's data written to the disk when it returns, which may still
// have them in a cache of its own. Unlike fsync it takes no part in the file system's
// journal, which the log's fsync would wait for.
func writeOut(f *os.File) error {
	for {
		err := unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
		switch {
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESPIPE): // not every file system has it
			return syncData(f)
		case err != unix.EINTR:
			return err
		}
	}
}
