package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// openChecked opens the log of a data directory once its files look as they were
// left, and what tells where it ends.
func openChecked(kind LogStore, dir *dataDir, open func(path string) (logDisk, error)) (checkedDisk, error) {
	path, main := dir.file(logNames[kind]), logFile(kind, dir)
	var d logDisk
	err := guard(func() (err error) {
		switch _, missing := os.Stat(main); {
		case missing != nil && dir.id.Joined:
			return damaged(dir.path, main, fmt.Errorf("this node has taken part in a cluster, but its log is gone: %w", missing))
		case missing == nil && kind == LogStoreBolt:
			if err := checkBolt(path, !dir.id.Joined, "conf", "logs"); err != nil {
				return err
			}
		}
		d, err = open(path)
		return err
	})
	if err != nil {
		return checkedDisk{}, unreadable(dir.path, path, err)
	}
	v, err := openVotes(dir.file(votesFile), dir.id.Joined)
	if err != nil {
		return checkedDisk{}, errors.Join(err, d.Close())
	}
	end, err := openLogEnd(dir.file(logEndFile), dir.id.Joined)
	if err != nil {
		return checkedDisk{}, errors.Join(err, v.close(), d.Close())
	}
	return checkedDisk{d, v, end}, nil
}

// logFile is the file without which there is no log.
func logFile(kind LogStore, dir *dataDir) string {
	if kind == LogStoreWAL {
		return filepath.Join(dir.file(logNames[kind]), walMetaFile)
	}
	return dir.file(logNames[kind])
}

// check reads the whole log before raft does, and puts its newest entries in the
// cache on the way. Every entry behind the newest snapshot must be there, up to
// the last that was ever written, and each must be what was written.
func (s *logStore) check(snapshot uint64) error {
	err := guard(func() error { return s.checkEntries(snapshot) })
	if err != nil {
		return unreadable(s.dir, s.path, err)
	}
	return nil
}

func (s *logStore) checkEntries(snapshot uint64) error {
	first, err := s.disk.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.disk.LastIndex()
	if err != nil {
		return err
	}
	if last > snapshot && first > snapshot+1 {
		return damaged(s.dir, filepath.Join(s.dir, snapshotsDir),
			fmt.Errorf("the snapshot of entry %d is missing: the log begins behind it", first-1))
	}
	for index := first; index <= last && last > 0; index++ {
		l := new(raft.Log)
		err := s.disk.GetLog(index, l)
		if errors.Is(err, raft.ErrLogNotFound) && index <= snapshot {
			index = snapshot // a log may have a gap that the snapshot fills
			continue
		}
		if err == nil && index == s.end.at.index && s.end.at.term != 0 && l.Term != s.end.at.term {
			err = fmt.Errorf("it is of term %d; one of term %d was written there last", l.Term, s.end.at.term)
		}
		if err != nil {
			return damaged(s.dir, s.fileOf(index), fmt.Errorf("log entry %d: %w", index, err))
		}
		s.cache.add(l)
	}
	if written := s.end.at.index; last < written && snapshot < written {
		return damaged(s.dir, s.path, fmt.Errorf("the log ends with entry %d, and %d was written to it", last, written))
	}
	return nil
}

// fileOf is the file that an entry is in, or would be.
func (s *logStore) fileOf(index uint64) string {
	segments, _ := filepath.Glob(filepath.Join(s.path, "*.wal")) // in the order of their first entries
	for i := len(segments) - 1; i >= 0; i-- {
		var first uint64
		if _, err := fmt.Sscanf(filepath.Base(segments[i]), "%d-", &first); err == nil && (first <= index || i == 0) {
			return segments[i]
		}
	}
	return s.path
}
