//go:build !linux

package node

import "os"

// syncData has a file's data on disk when it returns.
func syncData(f *os.File) error { return f.Sync() }
