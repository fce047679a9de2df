package node

import (
	"os"

	"github.com/hashicorp/go-hclog"
	wal "github.com/hashicorp/raft-wal"
)

// walDisk is a raft-wal log, and what removes its files.
type walDisk struct {
	*wal.WAL
	removed *walRemover
}

// Close implements io.Closer. What is not removed yet is at the next start.
func (d walDisk) Close() error {
	err := d.WAL.Close()
	d.removed.close()
	return err
}

// openWAL opens a log of raft-wal in a folder, which is made where there is none.
func openWAL(path string, log hclog.Logger) (logDisk, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	r, err := newWALRemover(path)
	if err != nil {
		return nil, err
	}
	w, err := wal.Open(path, wal.WithLogger(log.Named("wal")), wal.WithMetaStore(new(walMeta)), wal.WithSegmentFiler(newWALFiler(path, r)))
	if err != nil {
		r.close()
		return nil, err
	}
	return walDisk{w, r}, nil
}
