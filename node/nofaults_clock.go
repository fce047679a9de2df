//go:build !faults

package node

import "time"

// clock is what everything that expires goes by. Builds with faults can have its wall
// clock jump, which nothing may notice: only the monotonic reading counts.
func clock() time.Time { return time.Now() }
