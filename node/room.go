package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	wal "github.com/hashicorp/raft-wal"
	"golang.org/x/sys/unix"
)

// fullBelow is the free space in bytes below which a disk counts as full,
// whatever a failed write was told.
const fullBelow = 256 << 10

// room is how many bytes a process without privileges may still write on the file
// system of a folder; some file systems do not tell.
func room(dir string) (free uint64, known bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}

// mebibytes is a size as people read it.
func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// roomToStart refuses to start on a disk that has no room for one entry of the
// largest kind: the node would join, take part, and end at its first write, again
// and again where something restarts it.
func (n *Node) roomToStart() error {
	need := uint64(max(n.cfg.MaxEntryBytes, n.cfg.MaxValueBytes)) + 1<<20
	free, known := room(n.dir.path)
	if !known || free >= need {
		return nil
	}
	return fmt.Errorf("the disk of data directory %s has %s free, and the node needs %s to start: make room, then start it again",
		n.dir.path, mebibytes(free), mebibytes(need))
}

// remedy is what a person can do about a file that could not be written.
func remedy(file string, err error) string {
	dir := filepath.Dir(file)
	free, known := room(dir)
	full := known && free < fullBelow
	switch {
	case full, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Sprintf("the disk is full (%s free for %s): make room", mebibytes(free), dir)
	case errors.Is(err, wal.ErrSealed): // the next segment could not be created when this one was full
		return fmt.Sprintf("the log needs %s for its next segment (%s free for %s): make room",
			mebibytes(uint64(wal.DefaultSegmentSize)), mebibytes(free), dir)
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: mount it writable"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "give the user that runs the node the right to write there"
	}
	return "look at the disk in the kernel's log and replace it if it fails"
}
