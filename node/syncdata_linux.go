package node

import (
	"os"
	"syscall"
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
