//go:build !faults

package node

// staleReads is true in builds with faults only.
func staleReads() bool { return false }
