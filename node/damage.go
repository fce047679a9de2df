package node

import (
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
)

// ErrDamaged says that a file in the data directory does not hold what the node
// wrote there. The error that wraps it names the file and what to do.
var ErrDamaged = errors.New("a file of this node is damaged")

// damaged says which file of a data directory cannot be believed, why, and what
// to do. A cause that names its file already stays as it is.
//
// Nothing is repaired and nothing is passed over: whatever a node forgets of what
// it has acknowledged or voted, the cluster may have to answer for, while a node
// that stays away costs only its share of the redundancy.
func damaged(dir, file string, cause error) error {
	if errors.Is(cause, ErrDamaged) {
		return cause
	}
	return fmt.Errorf("%w: %s: %w: a node that went on from it could forget what it has acknowledged, so it does not; "+
		"look at the disk, move its data directory %s away, remove the node from the cluster (dengine-node remove ID --at the health port of another), "+
		"and join it again: start it with --join (README, A node that lost its disk)", ErrDamaged, file, cause, dir)
}

// unreadable is why a file could not be opened or read: the system would not, and
// then that can be mended, or the file is damaged.
func unreadable(dir, file string, err error) error {
	var errno syscall.Errno
	if !errors.Is(err, ErrDamaged) && errors.As(err, &errno) && errno != syscall.ENOENT && errno != syscall.EIO {
		return fmt.Errorf("open %s: %w: %s", file, err, remedy(file, err))
	}
	return damaged(dir, file, err)
}

// guard runs f, which reads files that may be damaged: a panic or a memory fault
// of a library that trusts them becomes an error. It covers only the goroutine
// that it is called on.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	return f()
}
