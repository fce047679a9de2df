package launcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	tempPrefix = "dengine-up-"
	lockName   = "dengine-up.lock"
	// tempLockName is the lock of a temporary folder. It is another one, so
	// that a folder which somebody named is never taken for one left behind.
	tempLockName = "dengine-up.temporary.lock"
	memoryName   = "dengine-up.json"
	// emptyAge is when a temporary folder without a lock is taken for left
	// behind: it is made a moment before its lock.
	emptyAge = time.Minute
)

// folder holds the data and logs of a run. It is locked against another.
type folder struct {
	path      string
	temporary bool
	lock      *lock
}

// memory is what a data folder remembers of its cluster.
type memory struct {
	Nodes      int `json:"nodes"`
	PortOffset int `json:"port_offset"`
}

// openFolder makes or takes cfg's data folder.
func openFolder(cfg Config, log *zap.Logger) (*folder, error) {
	if cfg.DataDir == "" {
		return tempFolder(cfg.TempDir, log)
	}
	path, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", cfg.DataDir, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	l, err := acquire(filepath.Join(path, lockName))
	var taken *lockedError
	if errors.As(err, &taken) {
		return nil, fmt.Errorf("data folder %s is in use by another dengine-up (%w); stop that one, or name another --data-dir", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", path, err)
	}
	if err := adopt(path); err != nil {
		l.release()
		return nil, err
	}
	return &folder{path: path, lock: l}, nil
}

// adopt keeps a folder that a killed run left from being swept away, once
// somebody has named it as their own.
func adopt(path string) error {
	file := filepath.Join(path, tempLockName)
	if _, err := os.Lstat(file); err != nil {
		return nil
	}
	l, err := acquire(file)
	if err != nil {
		return fmt.Errorf("data folder %s is the temporary one of another dengine-up (%w); name another --data-dir", path, err)
	}
	l.release()
	return nil
}

// tempFolder makes a temporary folder, after it has removed those of runs that
// were killed.
func tempFolder(parent string, log *zap.Logger) (*folder, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	sweep(parent, log)
	for range lockTries {
		path, err := os.MkdirTemp(parent, tempPrefix)
		if err != nil {
			return nil, fmt.Errorf("make temporary folder: %w", err)
		}
		l, err := acquire(filepath.Join(path, tempLockName))
		if err == nil {
			return &folder{path: path, temporary: true, lock: l}, nil
		}
		// Another run that sweeps may have been quicker; it removes the folder.
		log.Warn("temporary folder was taken", zap.String("folder", path), zap.Error(err))
	}
	return nil, fmt.Errorf("make temporary folder in %s: every one was taken away", parent)
}

// sweep removes temporary folders of ours that no run holds.
func sweep(parent string, log *zap.Logger) {
	paths, err := filepath.Glob(filepath.Join(parent, tempPrefix+"*"))
	if err != nil { // only a malformed pattern
		return
	}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || !isOurs(info) {
			continue
		}
		file := filepath.Join(path, tempLockName)
		if _, err := os.Stat(file); err != nil {
			if time.Since(info.ModTime()) > emptyAge {
				_ = os.Remove(path) // only if it is empty
			}
			continue
		}
		l, err := acquire(file)
		if err != nil {
			continue // it is in use
		}
		log.Info("removing a temporary folder that was left behind", zap.String("folder", path))
		err = os.RemoveAll(path)
		l.release()
		if err != nil {
			log.Warn("temporary folder cannot be removed", zap.String("folder", path), zap.Error(err))
		}
	}
}

func isOurs(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

// recall settles how many nodes there are, and refuses what the data in the
// folder does not fit: nodes know each other by address.
func (f *folder) recall(nodes, portOffset int) (int, error) {
	file := filepath.Join(f.path, memoryName)
	var m memory
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if nodes == 0 {
			nodes = 3
		}
		return nodes, nil
	}
	if err != nil {
		return 0, fmt.Errorf("recall the number of nodes: %w", err)
	}
	if err := json.Unmarshal(raw, &m); err != nil || checkNodes(m.Nodes) != nil {
		return 0, fmt.Errorf("%s does not say how many nodes there are; put it right, or name another --data-dir", file)
	}
	if nodes != 0 && nodes != m.Nodes {
		return 0, fmt.Errorf("data folder %s holds a cluster of %d nodes, not %d; leave --nodes out, or name another --data-dir", f.path, m.Nodes, nodes)
	}
	if portOffset != m.PortOffset {
		return 0, fmt.Errorf("data folder %s holds a cluster that lives at --port-offset %d, not %d; use that one, or name another --data-dir", f.path, m.PortOffset, portOffset)
	}
	return m.Nodes, nil
}

// remember writes down what recall will go by. It comes right before the first
// process starts: a start that was refused, for its ports perhaps, must not
// bind the folder to them. Whoever reads it sees all of it or nothing.
func (f *folder) remember(nodes, portOffset int) error {
	raw, err := json.Marshal(memory{nodes, portOffset})
	if err != nil {
		return fmt.Errorf("remember the number of nodes: %w", err)
	}
	file := filepath.Join(f.path, memoryName)
	if err := os.WriteFile(file+".new", append(raw, '\n'), 0o600); err != nil {
		_ = os.Remove(file + ".new")
		return fmt.Errorf("remember the number of nodes: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("remember the number of nodes: %w", err)
	}
	return nil
}

// layOut makes the folders below.
func (f *folder) layOut(p Plan) error {
	dirs := []string{logsDir(f.path)}
	for _, n := range p.Nodes {
		dirs = append(dirs, n.Dir)
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	return nil
}

// close lets go of the folder; a temporary one is removed.
func (f *folder) close() error {
	var err error
	if f.temporary {
		err = os.RemoveAll(f.path)
	}
	f.lock.release()
	if err != nil {
		return fmt.Errorf("remove temporary folder: %w", err)
	}
	return nil
}
