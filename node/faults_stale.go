//go:build faults

package node

import "os"

// staleReads makes every read answer from what is there, whatever it asked for,
// where a test wants that: the test must then see stale reads.
func staleReads() bool { return os.Getenv("DENGINE_FAULT_STALE_READS") == "1" }
