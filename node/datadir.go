package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names in a data directory.
const (
	lockFile     = "LOCK"
	identityFile = "node.json"
	peersFile    = "peers.json"
)

// identityFormat is of the whole directory. Format 1 had no checksums.
const identityFormat = 2

// identity says whose directory this is.
type identity struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	ID      string `json:"id"`
	// Incarnation is drawn anew for every empty directory, so that the other
	// nodes can tell this memory from an earlier one of the same id.
	Incarnation string   `json:"incarnation"`
	LogStore    LogStore `json:"log_store"`
	// Joined: the node takes part in Raft with this directory.
	Joined bool `json:"joined"`
	// Patience is what this node has promised with each append that it accepted: to
	// elect nobody else for so long (see lease.go).
	Patience time.Duration `json:"patience,omitempty"`
	// Rejoined: it was added as a learner with this directory, after the cluster's
	// start, of which it knows only what it was told.
	Rejoined bool `json:"rejoined,omitempty"`
	// Lost: a peer remembers an earlier incarnation; this one must never vote.
	Lost string `json:"lost,omitempty"`
}

// dataDir is a node's locked directory.
type dataDir struct {
	path string
	lock *os.File
	id   identity
}

// openDataDir locks the directory and reads whose it is, creating both for a
// new node. A directory of another node or cluster, one in use, or one with another
// log store than the one that is asked for ("": any), is refused.
func openDataDir(path, cluster, id string, store LogStore) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	d := &dataDir{path: path, lock: lock}
	if err := d.acquire(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := d.readIdentity(cluster, id, store); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// acquire takes the lock; it ends with the process, however that ends.
func (d *dataDir) acquire() error {
	err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := os.ReadFile(d.lock.Name()) // only to name the holder
		return fmt.Errorf("data directory %s is in use by process %s: stop it first, or give this node a directory of its own", d.path, strings.TrimSpace(string(holder)))
	}
	if err != nil {
		return fmt.Errorf("lock data directory %s: %w", d.path, err)
	}
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("write %s: %w: %s", d.lock.Name(), err, remedy(d.lock.Name(), err))
	}
	if _, err := d.lock.WriteAt(fmt.Appendln(nil, os.Getpid()), 0); err != nil {
		return fmt.Errorf("write %s: %w: %s", d.lock.Name(), err, remedy(d.lock.Name(), err))
	}
	return nil
}

func (d *dataDir) readIdentity(cluster, id string, store LogStore) error {
	err := readJSON(d.file(identityFile), &d.id)
	if errors.Is(err, os.ErrNotExist) {
		for _, name := range logNames {
			if _, err := os.Stat(d.file(name)); err == nil {
				return damaged(d.path, d.file(identityFile), fmt.Errorf("the data directory has a log but no %s", identityFile))
			}
		}
		if store == "" {
			store = NewLogStore
		}
		d.id = identity{Format: identityFormat, Cluster: cluster, ID: id, Incarnation: randomHex(), LogStore: store}
		return d.saveIdentity()
	}
	switch {
	case err != nil:
		return err
	case d.id.Format != identityFormat:
		return fmt.Errorf("%s has format %d, this version reads %d: use the version that wrote it", d.file(identityFile), d.id.Format, identityFormat)
	case d.id.ID != id:
		return fmt.Errorf("data directory %s belongs to node %s, not to %s: give %s a directory of its own", d.path, d.id.ID, id, id)
	case d.id.Cluster != cluster:
		return fmt.Errorf("data directory %s belongs to cluster %q, not to %q", d.path, d.id.Cluster, cluster)
	case logNames[d.id.LogStore] == "":
		return damaged(d.path, d.file(identityFile), fmt.Errorf("it names the log store %q, which this version does not know", d.id.LogStore))
	case store != "" && d.id.LogStore != store:
		return fmt.Errorf("data directory %s has its log in %s, not in %s: leave the log store out of its settings, "+
			"or remove it from the cluster and join it again with an empty directory", d.path, d.id.LogStore, store)
	}
	return nil
}

func (d *dataDir) saveIdentity() error { return writeJSON(d.file(identityFile), d.id) }

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dataDir) close() error { return d.lock.Close() }

func randomHex() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	return hex.EncodeToString(b[:])
}
