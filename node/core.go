package node

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// appendEntries is how many entries raft may read from the log for one message,
// before transport cuts them by bytes: what is cut was read for nothing. Since
// writes share entries, a few entries are many writes.
func (c Config) appendEntries() int {
	return min(64, max(1, 2*c.MaxAppendBytes/max(c.MaxEntryBytes, c.MaxValueBytes)))
}

// core is what there is once raft runs.
type core struct {
	raft      *raft.Raft
	trans     *transport
	fsm       *fsm
	store     *logStore
	snapshots *snapshotStore
	proposer  *proposer
	once      sync.Once
	err       error
}

// startRaft opens the stores and starts raft. Where the log is empty it begins with
// the initial cluster, or with nothing where a leader has added this node (in).
func (n *Node) startRaft(in *joined) error {
	cfg, err := n.raftConfig()
	if err != nil {
		return err
	}
	if err := n.honourLeases(); err != nil {
		return err
	}
	store, err := openLogStore(n.cfg.LogStore, n.dir, n.cfg.LogCacheBytes, newDiskWatch(n.cfg.DiskTimeout, n.diskAnswers), cfg.Logger, n.fail)
	if err != nil {
		return err
	}
	c := &core{fsm: newFSM(n.fail), store: store}
	if in != nil {
		err = abstain(store, in.Term)
	}
	if err == nil {
		err = n.assemble(c, cfg)
	}
	if err != nil {
		return errors.Join(err, store.Close())
	}
	n.joined.Store(true)
	n.core.Store(c)
	n.port.raftOpen.Store(true)
	n.kickRole()
	return nil
}

func (n *Node) assemble(c *core, cfg *raft.Config) error {
	snapshots, err := openSnapshots(n.dir.path, n.cfg.SnapshotRetain, cfg.Logger)
	if err != nil {
		return err
	}
	c.snapshots = snapshots
	newest, err := snapshots.newest()
	if err != nil {
		return err
	}
	restored := make(chan error, 1)
	go func() { restored <- c.restore(n.dir.path) }()
	err = c.store.check(newest)
	if missing := <-restored; err == nil {
		err = missing
	}
	if err != nil {
		return err
	}
	history, err := raft.HasExistingState(c.store, c.store, snapshots)
	if err != nil {
		return fmt.Errorf("read the log %s: %w", n.logPath(), err)
	}
	if n.dir.id.Joined && !history {
		return fmt.Errorf("data directory %s has taken part in a cluster, but its log is gone: restore %s from a copy, "+
			"or empty the whole directory and join the node again", n.dir.path, n.logPath())
	}
	trans := newTransport(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider:   addresses{n.cfg},
		Logger:                  cfg.Logger,
		Stream:                  n.port,
		MaxPool:                 maxPool,
		Timeout:                 n.cfg.RPCTimeout,
		MsgpackUseNewTimeFormat: true,
	}), n.contact, c.store, c.store.watch, n.cfg.MaxAppendBytes, n.cfg.patience() > 0)
	if !history {
		if err := raft.BootstrapCluster(cfg, c.store, c.store, snapshots, trans, n.initialServers()); err != nil {
			return errors.Join(fmt.Errorf("write the initial cluster: %w", err), trans.Close())
		}
	}
	if !n.dir.id.Joined {
		n.dir.id.Joined = true
		if err := n.dir.saveIdentity(); err != nil {
			return errors.Join(err, trans.Close())
		}
	}
	c.trans = trans
	if c.raft, err = newRaft(cfg, c, trans); err != nil {
		return errors.Join(fmt.Errorf("start raft from %s: %w: restore the directory from a copy, "+
			"or empty it and join the node again", n.dir.path, err), trans.Close())
	}
	trans.raft.Store(c.raft)
	c.store.raft.Store(c.raft)
	// raft calls the filter on its own goroutine at every change of state or
	// leader; it must not block for long, and nothing is sent.
	c.raft.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			n.crash.observed()
		}
		n.kickRole()
		return false
	}))
	c.proposer = newProposer(c.raft, n.cfg.MaxEntryBytes, n.log.Named("proposer"))
	return nil
}

// newRaft starts raft on a goroutine of its own, since a stableStore that cannot be
// written ends the one that writes.
func newRaft(cfg *raft.Config, c *core, trans raft.Transport) (r *raft.Raft, err error) {
	err = errors.New("its term cannot be written")
	var started sync.WaitGroup
	started.Go(func() {
		r, err = raft.NewRaft(cfg, c.fsm, c.store, &stableStore{logStore: c.store}, c.snapshots, trans)
	})
	started.Wait()
	return r, err
}

func (n *Node) logPath() string { return n.dir.file(logNames[n.cfg.LogStore]) }

func (n *Node) raftConfig() (*raft.Config, error) {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(n.cfg.ID)
	cfg.HeartbeatTimeout = n.cfg.HeartbeatTimeout
	cfg.ElectionTimeout = n.cfg.ElectionTimeout
	cfg.LeaderLeaseTimeout = n.cfg.LeaseTimeout
	cfg.CommitTimeout = n.cfg.CommitTimeout
	cfg.SnapshotInterval = n.cfg.SnapshotInterval
	cfg.SnapshotThreshold = n.cfg.SnapshotThreshold
	cfg.TrailingLogs = n.cfg.TrailingLogs
	cfg.BatchApplyCh = true
	cfg.MaxAppendEntries = n.cfg.appendEntries()
	cfg.NoSnapshotRestoreOnStart = true // core.restore does it
	cfg.Logger = newRaftLog(n.log)
	// raft insists on fast enough applying; a restart replays the log anyway.
	if err := raft.ValidateConfig(cfg); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return cfg, nil
}

func (n *Node) initialServers() raft.Configuration {
	var out raft.Configuration
	for _, m := range n.cfg.InitialCluster {
		out.Servers = append(out.Servers, raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.Raft)})
	}
	return out
}

// addresses lets the settings override the addresses in the log, so that a node
// may move. It is raft's ServerAddressProvider.
type addresses struct{ cfg Config }

func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if m, ok := a.cfg.member(string(id)); ok {
		return raft.ServerAddress(m.Raft), nil
	}
	return "", fmt.Errorf("the settings do not name node %s", id) // raft then takes the log's address
}

// close ends raft, which closes its transport and with it the port, and then the
// stores. It waits no longer than limit for a raft that is stuck on its disk.
func (c *core) close(limit time.Duration) error {
	c.once.Do(func() {
		c.proposer.stop()
		ended := make(chan error, 1)
		go func() { ended <- c.end() }() // outlives the limit only with the process
		select {
		case c.err = <-ended:
		case <-time.After(limit):
			c.err = errors.New("raft did not stop in time: its disk hangs")
		}
		c.proposer.abandon()
		c.proposer.wg.Wait()
	})
	return c.err
}

func (c *core) end() error {
	c.snapshots.abandon() // raft waits for one that is under way
	err := c.raft.Shutdown().Error()
	c.proposer.abandon() // raft answers nothing any more
	c.proposer.wg.Wait() // what it has proposed is in nobody's hands before the store goes
	if closed := c.store.Close(); closed != nil {
		err = errors.Join(err, fmt.Errorf("close the log: %w", closed))
	}
	return err
}
