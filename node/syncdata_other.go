//go:build !linux

package node

import "os"

// syncData has a file's data on disk when it returns.
func syncData(f *os.File) error { return f.Sync() }

// writeOut has a file's data written to the disk when it returns.
func writeOut(f *os.File) error { return f.Sync() }
