package node

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
)

// install sends the leader's snapshot of an index, with the keys that it holds.
func (f *follower) install(index uint64, keys ...string) {
	f.t.Helper()
	m := newFSM(func(err error) { f.t.Error(err) })
	for i, key := range keys {
		m.Apply(entry(index-uint64(len(keys)-1-i), 2, key))
	}
	state, err := m.Snapshot()
	if err != nil {
		f.t.Fatal(err)
	}
	store := raft.NewInmemSnapshotStore()
	members := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: f.addr}, {ID: "b", Address: "b"}}}
	sink, err := store.Create(raft.SnapshotVersionMax, index, 2, members, 1, f.trans)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := state.Persist(sink); err != nil {
		f.t.Fatal(err)
	}
	_, whole, err := store.Open(sink.ID())
	if err != nil {
		f.t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(whole); err != nil {
		f.t.Fatal(err)
	}
	req := &raft.InstallSnapshotRequest{
		RPCHeader: f.header(), SnapshotVersion: raft.SnapshotVersionMax, Term: 2, LastLogIndex: index, LastLogTerm: 2,
		Configuration: raft.EncodeConfiguration(members), ConfigurationIndex: 1, Size: int64(b.Len()),
	}
	var resp raft.InstallSnapshotResponse
	if err := f.from.InstallSnapshot("a", f.addr, req, &resp, &b); err != nil || !resp.Success {
		f.t.Fatalf("%+v, %v", resp, err)
	}
}

// The answer to what follows a snapshot is lost: the leader sends both again. The node
// takes it, and does not go back.
func TestWhatFollowsASnapshotComesAgain(t *testing.T) {
	t.Parallel()
	f := startFollower(t)
	f.install(10, "nine", "ten")
	f.send(10, 2, 11, entry(11, 2, "eleven"), entry(12, 2, "twelve"))
	f.executes(11)
	f.send(10, 2, 10) // nothing that is new: it is all committed
	f.send(10, 2, 12, entry(11, 2, "eleven"), entry(12, 2, "twelve"), entry(13, 2, "thirteen"))
	f.executes(12)
	f.install(10, "nine", "ten")
	f.send(10, 2, 13, entry(11, 2, "eleven"), entry(12, 2, "twelve"), entry(13, 2, "thirteen"))
	f.executes(13)
	f.has(map[string]bool{"nine": true, "ten": true, "eleven": true, "twelve": true, "thirteen": true})
	if at := f.raft.AppliedIndex(); at != 13 {
		t.Errorf("raft has applied %d", at)
	}
}
