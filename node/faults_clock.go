//go:build faults

package node

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"
)

// jump is how many seconds this process's wall clock is ahead, where a test has it
// jump: one clock for the process, as it is in truth.
var jump atomic.Int64

// clock is the time as a process sees it whose wall clock has jumped: the monotonic
// reading, which comparisons and differences go by, is that of time.Now. Whoever drops
// it goes by the wall clock. Package time has no way to make such a time; its
// first word holds 30 bits of nanoseconds, and above them the seconds.
func clock() time.Time {
	now := time.Now()
	*(*uint64)(unsafe.Pointer(&now)) += uint64(jump.Load()) << 30
	return now
}

// setClock sets the wall clock ahead, or back by a negative duration; nil sets it
// right.
func setClock(ahead *string) error {
	if ahead == nil {
		jump.Store(0)
		return nil
	}
	d, err := time.ParseDuration(*ahead)
	if err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	jump.Store(int64(d / time.Second))
	return nil
}
