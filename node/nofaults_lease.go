//go:build !faults

package node

// pauseInLease does something between the check of a lease and the answer in builds
// with faults only.
func pauseInLease(*Node) {}
