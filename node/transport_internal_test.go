package node

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// Nothing that leads or asks to lead leaves a node whose disk is stuck. There is
// no transport behind: what were not refused would panic.
func TestStuckDiskSilencesTransport(t *testing.T) {
	t.Parallel()
	disk := newDiskWatch(time.Nanosecond, func(time.Duration, string) {})
	disk.begin("write")
	defer disk.end()
	for disk.stuckFor() == 0 { // until the clock has moved
	}
	tr := &transport{contact: newContact(), disk: disk, maxBytes: 1}
	for what, send := range map[string]func() error{
		"append":    func() error { return tr.AppendEntries("b", "", new(raft.AppendEntriesRequest), nil) },
		"heartbeat": func() error { return tr.AppendEntries("b", "", &raft.AppendEntriesRequest{Term: 1}, nil) },
		"snapshot":  func() error { return tr.InstallSnapshot("b", "", new(raft.InstallSnapshotRequest), nil, nil) },
		"vote":      func() error { return tr.RequestVote("b", "", new(raft.RequestVoteRequest), nil) },
		"pre-vote":  func() error { return tr.RequestPreVote("b", "", new(raft.RequestPreVoteRequest), nil) },
		"hand-over": func() error { return tr.TimeoutNow("b", "", new(raft.TimeoutNowRequest), nil) },
		"new pipeline": func() error {
			_, err := tr.AppendEntriesPipeline("b", "")
			return err
		},
		"pipelined append": func() error {
			_, err := (&pipeline{t: tr, id: "b"}).AppendEntries(new(raft.AppendEntriesRequest), nil)
			return err
		},
	} {
		if err := send(); !errors.Is(err, ErrDiskStuck) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestDiskWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var over []string
		w := newDiskWatch(time.Second, func(took time.Duration, what string) { over = append(over, what+" "+took.String()) })
		w.begin("quick")
		time.Sleep(time.Second - 1)
		if err := w.check(); err != nil {
			t.Errorf("before its time: %v", err)
		}
		w.end()
		w.begin("slow")
		time.Sleep(1500 * time.Millisecond)
		if err := w.check(); !errors.Is(err, ErrDiskStuck) || w.stuckFor() != 1500*time.Millisecond {
			t.Errorf("after its time: %v, %v", err, w.stuckFor())
		}
		w.end()
		if err := w.check(); err != nil || w.stalls.Load() != 1 || !slices.Equal(over, []string{"slow 1.5s"}) {
			t.Errorf("when it is over: %v, %d stalls, %v", err, w.stalls.Load(), over)
		}
	})
}

// brokenPipe is a pipeline of raft's after the first of two requests: it takes no
// other before somebody has read the answers.
type brokenPipe struct {
	answers chan raft.AppendFuture
	closed  chan struct{}
}

func (b *brokenPipe) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-b.closed
	return nil, raft.ErrPipelineShutdown
}
func (b *brokenPipe) Consumer() <-chan raft.AppendFuture { return b.answers }
func (b *brokenPipe) Close() error {
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	return nil
}

// refused is the answer of a follower whose log does not match.
type refused struct{ raft.AppendFuture }

func (refused) Error() error                          { return nil }
func (refused) Start() time.Time                      { return time.Time{} }
func (refused) Request() *raft.AppendEntriesRequest   { return &raft.AppendEntriesRequest{Term: 1} }
func (refused) Response() *raft.AppendEntriesResponse { return &raft.AppendEntriesResponse{Term: 1} }

// hashicorp/raft issue 612: raft stops reading at the first answer that failed,
// and may send again all the same; then it must get an error.
func TestPipelineEndsWithFirstFailure(t *testing.T) {
	t.Parallel()
	inner := &brokenPipe{answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	p := &pipeline{
		AppendPipeline: inner, id: "b", done: make(chan raft.AppendFuture), closed: make(chan struct{}),
		t: &transport{contact: newContact(), disk: newDiskWatch(time.Hour, nil), maxBytes: 1},
	}
	p.wg.Go(p.watch)
	defer p.Close()
	inner.answers <- refused{}
	if f := <-p.Consumer(); f.Response().Success {
		t.Fatal("another answer")
	}
	sent := make(chan error, 1)
	go func() {
		_, err := p.AppendEntries(new(raft.AppendEntriesRequest), new(raft.AppendEntriesResponse))
		sent <- err
	}()
	select {
	case err := <-sent:
		if !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Errorf("%v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for answers that nobody reads")
	}
}

func TestHeirs(t *testing.T) {
	t.Parallel()
	const term = 7
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	appended := func(c *contact, id raft.ServerID, of, index uint64, ms int) {
		c.noteAppended(id, &raft.AppendEntriesRequest{Term: of, PrevLogEntry: index - 1, Entries: []*raft.Log{{}}},
			&raft.AppendEntriesResponse{Term: of, Success: true}, at(ms))
	}
	beats := func(c *contact, id raft.ServerID, ms int) {
		c.noteAppended(id, &raft.AppendEntriesRequest{Term: term}, &raft.AppendEntriesResponse{Term: term, Success: true}, at(ms))
	}
	c := newContact()
	appended(c, "short", term, 10, 500)
	appended(c, "long", term, 12, 400)
	appended(c, "as long", term, 12, 450)
	appended(c, "as long", term, 11, 420) // out of order
	appended(c, "earlier term", term-1, 99, 500)
	appended(c, "dead", term, 12, 100)
	appended(c, "hangs", term, 12, 100)
	beats(c, "hangs", 500)
	beats(c, "has no log", 500)
	appended(c, "learner", term, 12, 500)
	appended(c, "self", term, 12, 500)
	c.noteAppended("rejects", &raft.AppendEntriesRequest{Term: term, PrevLogEntry: 12}, &raft.AppendEntriesResponse{Term: term}, at(500))
	voters := []raft.ServerID{"self", "short", "earlier term", "dead", "hangs", "has no log", "rejects", "unknown", "long", "as long"}
	got := c.heirs(voters, "self", term, at(200))
	if want := []raft.ServerID{"as long", "long", "short"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What a node cannot give to raft must not gather while its disk hangs: whoever
// sent it has given up, and comes again with another connection.
func TestStuckDiskTurnsRPCsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := newDiskWatch(time.Second, func(time.Duration, string) {})
		tr := &transport{disk: disk, rpcs: make(chan raft.RPC), closed: make(chan struct{})}
		offer := func() (taken bool, err error) {
			answer := make(chan raft.RPCResponse, 1)
			if tr.deliver(raft.RPC{Command: new(raft.AppendEntriesRequest), RespChan: answer}) {
				return true, nil
			}
			return false, (<-answer).Error
		}
		disk.begin("write")
		began := time.Now()
		if taken, err := offer(); taken || !errors.Is(err, ErrDiskStuck) || time.Since(began) < time.Second {
			t.Errorf("while the disk is stuck: taken %v, %v, after %v", taken, err, time.Since(began))
		}
		disk.end()
		go func() { <-tr.rpcs }()
		if taken, err := offer(); !taken || err != nil {
			t.Errorf("when it is over: taken %v, %v", taken, err)
		}
		disk.fail(errors.New("broken"))
		reader := make(chan struct{})
		go func() {
			select {
			case <-tr.rpcs:
				t.Error("raft got something after a write had failed")
			case <-reader:
			}
		}()
		synctest.Wait()
		if taken, err := offer(); taken || err == nil || disk.check() == nil {
			t.Errorf("after a write has failed: taken %v, %v", taken, err)
		}
		close(reader)
	})
}
