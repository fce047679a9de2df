package node

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/hashicorp/raft"
)

// Without a pipeline too, an answer waits for what is on the way to this node's disk.
func TestAnswerWithoutPipelineIsHeldBack(t *testing.T) {
	t.Parallel()
	f := startFollower(t)
	store := new(logStore)
	disk, written := make(chan struct{}), make(chan []*raft.Log, 1)
	release := sync.OnceFunc(func() { close(disk) })
	defer release()
	if err := store.ahead.add([]*raft.Log{entry(2, 2, "a")}, func(logs []*raft.Log) error {
		<-disk
		written <- logs
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	trans := newTransport(f.from, newContact(), store, newDiskWatch(time.Minute, nil), 1<<20, false)
	answered := make(chan error, 1)
	go func() {
		req := &raft.AppendEntriesRequest{RPCHeader: f.header(), Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: []*raft.Log{entry(2, 2, "a")}}
		answered <- trans.AppendEntries("a", f.addr, req, new(raft.AppendEntriesResponse))
	}()
	harness.Eventually(t, "the follower to have the entry, and the answer to be here", func() error {
		if last, heard := f.raft.LastIndex(), trans.contact.heard("a"); last != 2 || heard != 2 {
			return fmt.Errorf("%d entries, and %d by what was heard", last, heard)
		}
		return nil
	})
	select {
	case err := <-answered:
		t.Fatalf("raft has the answer (%v) while this node's disk has no such entry", err)
	case <-time.After(300 * time.Millisecond):
	}
	release()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if logs := <-written; len(logs) != 1 {
		t.Errorf("%d entries written", len(logs))
	}
	if err := trans.Close(); err != nil {
		t.Error(err)
	}
}

// Entries that come while others are written share the next write; they can be read
// meanwhile, and who waits for one waits for those before it.
func TestEntriesOnTheirWayToDisk(t *testing.T) {
	t.Parallel()
	var a ahead
	turn, writes := make(chan error), make(chan int, 8)
	write := func(logs []*raft.Log) error {
		writes <- len(logs)
		return <-turn
	}
	add := func(index uint64) {
		t.Helper()
		if err := a.add([]*raft.Log{entry(index, 1, "a")}, write); err != nil {
			t.Fatal(err)
		}
	}
	waits := func(index uint64) chan error {
		done := make(chan error, 1)
		go func() { done <- a.await(index, t.Context().Done()) }()
		return done
	}
	add(5)
	if n := <-writes; n != 1 {
		t.Fatalf("%d in the first write", n)
	}
	add(6)
	add(7)
	for index, there := range map[uint64]bool{4: false, 5: true, 6: true, 7: true, 8: false} {
		if got := a.get(index); (got != nil) != there || there && got.Index != index {
			t.Errorf("entry %d: %+v", index, got)
		}
	}
	if first, last := a.ends(); first != 5 || last != 7 {
		t.Errorf("from %d to %d", first, last)
	}
	if err := <-waits(4); err != nil {
		t.Errorf("what is on disk: %v", err)
	}
	five, seven := waits(5), waits(7)
	turn <- nil
	if err := <-five; err != nil {
		t.Error(err)
	}
	if n := <-writes; n != 2 {
		t.Errorf("%d in the second write, 2 were waiting", n)
	}
	select {
	case err := <-seven:
		t.Errorf("7 is not on disk: %v", err)
	default:
	}
	broken := errors.New("broken")
	turn <- broken
	if err := <-seven; !errors.Is(err, broken) {
		t.Errorf("a wait for what could not be written: %v", err)
	}
	if err := a.add([]*raft.Log{entry(8, 1, "a")}, write); !errors.Is(err, broken) {
		t.Errorf("an entry behind it: %v", err)
	}
	if err := a.settle(); !errors.Is(err, broken) {
		t.Errorf("settle: %v", err)
	}
	if a.wg.Wait(); len(writes) != 0 {
		t.Error("something was written behind what could not be")
	}
}
