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

// follower is a node's raft, transport and state machine, and a leader that sends it
// what the test says.
type follower struct {
	t     *testing.T
	f     *fsm
	raft  *raft.Raft
	trans *transport
	addr  raft.ServerAddress
	from  *raft.NetworkTransport
}

// startFollower starts node a, which has voted with b, and has these entries behind
// the first.
func startFollower(t *testing.T, logs ...*raft.Log) *follower {
	t.Helper()
	store := openStore(t, LogStoreBolt, 0, func(err error) { t.Error(err) })
	port, leader := openPort(t, "a", "1"), openPort(t, "b", "2")
	port.raftOpen.Store(true)
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: port, MaxPool: 1, Timeout: time.Minute, Logger: hclog.NewNullLogger()})
	trans := newTransport(inner, newContact(), store, store.watch, 1<<20, false)
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
	if err := store.StoreLogs(logs); err != nil {
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
	return &follower{t, f, r, trans, raft.ServerAddress(port.Addr().String()), sender}
}

// entry is a put of a key.
func entry(index, term uint64, key string) *raft.Log {
	data := kv.AppendCommand(kv.AppendEntry(nil, term, 0, 1), &kv.Command{Op: kv.OpPut, Key: []byte(key)})
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: data}
}

func (f *follower) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("b"), Addr: f.from.EncodePeer("b", f.from.LocalAddr())}
}

// send appends entries behind one, as the leader of term 2 that has committed up to
// commit.
func (f *follower) send(previous, previousTerm, commit uint64, entries ...*raft.Log) {
	f.t.Helper()
	req := &raft.AppendEntriesRequest{
		RPCHeader: f.header(), Term: 2, PrevLogEntry: previous, PrevLogTerm: previousTerm, Entries: entries, LeaderCommitIndex: commit,
	}
	var resp raft.AppendEntriesResponse
	if err := f.from.AppendEntries("a", f.addr, req, &resp); err != nil || !resp.Success {
		f.t.Fatalf("%+v, %v", resp, err)
	}
}

func (f *follower) executes(index uint64) {
	f.t.Helper()
	harness.Eventually(f.t, fmt.Sprintf("entry %d to be executed", index), func() error {
		if now := f.f.index.Load(); now < index {
			return fmt.Errorf("applied %d", now)
		}
		return nil
	})
}

func (f *follower) has(want map[string]bool) {
	f.t.Helper()
	for key, want := range want {
		if _, found, _ := f.f.get([]byte(key)); found != want {
			f.t.Errorf("%q: there %v, want %v", key, found, want)
		}
	}
}

// A node comes back with an entry at the end of its log that nobody else has. The
// leader's first append ends before that entry, and names a commit index beyond it.
// The node must not execute the entry, but the leader's own in its place.
func TestAppendCommitsOnlyWhatItVerifies(t *testing.T) {
	t.Parallel()
	f := startFollower(t, entry(2, 1, "agreed"), entry(3, 1, "mine alone"))
	f.send(2, 1, 10)
	f.send(2, 1, 10, entry(3, 2, "the leader's"))
	f.executes(3)
	f.has(map[string]bool{"agreed": true, "mine alone": false, "the leader's": true})
	if seen := f.trans.contact.lastAppend(); seen.commit != 10 {
		t.Errorf("the leader's commit index is %d for reports, want 10", seen.commit)
	}
}
