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

// What a test may have a node suffer, by writing it into the file "fault" in the data
// directory, one a line; "slow" and "clock" take a duration after a space. Only
// programs built with the tag faults look there.
const (
	faultFile   = "fault"
	faultHang   = "hang"   // until the line is gone, then the write goes ahead
	faultError  = "error"  // EIO
	faultNoRoom = "enospc" // ENOSPC
	faultSlow   = "slow"   // each write takes that much longer
	faultClock  = "clock"  // the wall clock is that much ahead; see faults_clock.go
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
	end := time.Now().Add(longestFault)
	orders := f.orders()
	for orders[faultHang] != nil && time.Now().Before(end) {
		time.Sleep(faultPoll)
		orders = f.orders()
	}
	if err := setClock(orders[faultClock]); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	switch slow := orders[faultSlow]; {
	case orders[faultError] != nil:
		return &os.PathError{Op: "write", Path: f.path, Err: syscall.EIO}
	case orders[faultNoRoom] != nil:
		return &os.PathError{Op: "write", Path: f.path, Err: syscall.ENOSPC}
	case slow != nil:
		d, err := time.ParseDuration(*slow)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		time.Sleep(d)
	}
	return nil
}

// orders are what the control file says, with what stands after each word.
func (f *faultyDisk) orders() map[string]*string {
	b, _ := os.ReadFile(f.path) // most of the time there is none
	out := map[string]*string{}
	for line := range strings.Lines(string(b)) {
		what, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		out[what] = &arg
	}
	return out
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
