//go:build faults

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// What a test may have a disk do, by writing it into the file "fault" in the data
// directory; "slow" takes a duration after a space. Only programs built with
// the tag faults look there.
const (
	faultFile   = "fault"
	faultHang   = "hang"   // until the file is gone or says otherwise, then the write goes ahead
	faultError  = "error"  // EIO
	faultNoRoom = "enospc" // ENOSPC
	faultSlow   = "slow"   // each write takes that much longer
)

const (
	faultPoll    = 5 * time.Millisecond
	longestFault = 60 * time.Second // a test that died must not leave a process that hangs
)

// wrapDisk lets tests break the disk from outside.
func wrapDisk(dir string, d disk) disk {
	return &faultyDisk{disk: lateDisk(d), path: filepath.Join(dir, faultFile)}
}

// faultyDisk looks at its control file before each write.
type faultyDisk struct {
	disk
	path string
}

// fault does what the control file says, and returns the error that the write is
// to end with.
func (f *faultyDisk) fault() error {
	for end := time.Now().Add(longestFault); ; {
		what, arg, _ := strings.Cut(strings.TrimSpace(f.order()), " ")
		switch what {
		case faultHang:
			if time.Now().After(end) {
				return nil
			}
			time.Sleep(faultPoll)
			continue
		case faultSlow:
			d, err := time.ParseDuration(arg)
			if err != nil {
				return fmt.Errorf("%s: %w", f.path, err)
			}
			time.Sleep(d)
		case faultError:
			return &os.PathError{Op: "write", Path: f.path, Err: syscall.EIO}
		case faultNoRoom:
			return &os.PathError{Op: "write", Path: f.path, Err: syscall.ENOSPC}
		}
		return nil
	}
}

func (f *faultyDisk) order() string {
	b, _ := os.ReadFile(f.path) // most of the time there is none
	return string(b)
}

// IsMonotonic implements raft.MonotonicLogStore.
func (f *faultyDisk) IsMonotonic() bool {
	m, ok := f.disk.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// StoreLog implements raft.LogStore.
func (f *faultyDisk) StoreLog(log *raft.Log) error { return f.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (f *faultyDisk) StoreLogs(logs []*raft.Log) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.disk.StoreLogs(logs)
}

// DeleteRange implements raft.LogStore.
func (f *faultyDisk) DeleteRange(lo, hi uint64) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.disk.DeleteRange(lo, hi)
}

// Set implements raft.StableStore.
func (f *faultyDisk) Set(key, val []byte) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.disk.Set(key, val)
}

// SetUint64 implements raft.StableStore.
func (f *faultyDisk) SetUint64(key []byte, val uint64) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.disk.SetUint64(key, val)
}
