package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A node comes back with an entry at the end of its log that nobody else has. The
// leader's first append ends before that entry, and names a commit index beyond it.
// The node must not execute the entry, but the leader's own in its place.
func TestAppendCommitsOnlyWhatItVerifies(t *testing.T) {
	t.Parallel()
	store := openStore(t, LogStoreBolt, 0, func(err error) { t.Error(err) })
	port, leader := openPort(t, "a", "1"), openPort(t, "b", "2")
	port.raftOpen.Store(true)
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: port, MaxPool: 1, Timeout: time.Minute, Logger: hclog.NewNullLogger()})
	trans := newTransport(inner, newContact(), store.watch, 1<<20, false)
	cfg := raft.DefaultConfig()
	cfg.LocalID, cfg.Logger = "a", hclog.NewNullLogger()
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = time.Minute, time.Minute // it is to wait for its leader
	snapshots := raft.NewInmemSnapshotStore()
	members := raft.Configuration{Servers: []raft.Server{
		{ID: "a", Address: raft.ServerAddress(port.Addr().String())}, {ID: "b", Address: raft.ServerAddress(leader.Addr().String())},
	}}
	if err := raft.BootstrapCluster(cfg, store, store, snapshots, trans, members); err != nil {
		t.Fatal(err)
	}
	put := func(index, term uint64, key string) *raft.Log {
		entry := kv.AppendCommand(kv.AppendEntry(nil, term, 0, 1), &kv.Command{Op: kv.OpPut, Key: []byte(key)})
		return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: entry}
	}
	if err := store.StoreLogs([]*raft.Log{put(2, 1, "agreed"), put(3, 1, "mine alone")}); err != nil {
		t.Fatal(err)
	}
	f := newFSM(func(err error) { t.Error(err) })
	r, err := raft.NewRaft(cfg, f, store, store, snapshots, trans)
	if err != nil {
		t.Fatal(err)
	}
	trans.raft.Store(r)
	t.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			t.Error(err)
		}
	})

	sender := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: leader, MaxPool: 1, Timeout: time.Minute, Logger: hclog.NewNullLogger()})
	t.Cleanup(func() { sender.Close() })
	send := func(previous uint64, entries ...*raft.Log) {
		t.Helper()
		req := &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("b"), Addr: sender.EncodePeer("b", sender.LocalAddr())},
			Term:      2, PrevLogEntry: previous, PrevLogTerm: 1, Entries: entries, LeaderCommitIndex: 10,
		}
		var resp raft.AppendEntriesResponse
		if err := sender.AppendEntries("a", raft.ServerAddress(port.Addr().String()), req, &resp); err != nil || !resp.Success {
			t.Fatalf("%+v, %v", resp, err)
		}
	}
	send(2)
	send(2, put(3, 2, "the leader's"))
	harness.Eventually(t, "the leader's entry to be executed", func() error {
		if f.index.Load() < 3 {
			return fmt.Errorf("applied %d", f.index.Load())
		}
		return nil
	})
	for key, want := range map[string]bool{"agreed": true, "mine alone": false, "the leader's": true} {
		if _, found, _ := f.get(key); found != want {
			t.Errorf("%q: there %v, want %v", key, found, want)
		}
	}
	if seen := trans.contact.lastAppend(); seen.commit != 10 {
		t.Errorf("the leader's commit index is %d for reports, want 10", seen.commit)
	}
}
