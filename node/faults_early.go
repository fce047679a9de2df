//go:build faults

package node

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	earlyBy    = 30 * time.Millisecond // an append is answered before it is sent
	earlyQueue = 4096
)

var errEarlyClosed = errors.New("the pipeline is closed")

// earlyPipeline answers every append before it is sent, where a test wants that: the
// leader acknowledges what only its own log holds. The test must then see that writes
// are lost with the leader.
func earlyPipeline(p raft.AppendPipeline) raft.AppendPipeline {
	if os.Getenv("DENGINE_FAULT_EARLY_ACK") != "1" {
		return p
	}
	e := &early{AppendPipeline: p, appends: make(chan *earlyAppend, earlyQueue), said: make(chan raft.AppendFuture, earlyQueue), closed: make(chan struct{})}
	e.wg.Go(e.send)
	e.wg.Go(e.hear)
	return e
}

// early is a pipeline that is late. When a real answer is not what was said, it
// ends; raft then goes on without a pipeline, and hears the truth.
type early struct {
	raft.AppendPipeline
	appends chan *earlyAppend
	said    chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
}

// earlyAppend is an append that was answered; a raft.AppendFuture.
type earlyAppend struct {
	args  *raft.AppendEntriesRequest
	resp  *raft.AppendEntriesResponse
	start time.Time
}

func (a *earlyAppend) Error() error                          { return nil }
func (a *earlyAppend) Start() time.Time                      { return a.start }
func (a *earlyAppend) Request() *raft.AppendEntriesRequest   { return a.args }
func (a *earlyAppend) Response() *raft.AppendEntriesResponse { return a.resp }

// AppendEntries implements raft.AppendPipeline.
func (e *early) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	*resp = raft.AppendEntriesResponse{
		RPCHeader: args.RPCHeader, Term: args.Term, LastLog: args.PrevLogEntry + uint64(len(args.Entries)), Success: true,
	}
	a := &earlyAppend{args, resp, time.Now()}
	select {
	case <-e.closed:
		return nil, errEarlyClosed
	case e.appends <- a:
	}
	select {
	case <-e.closed:
		return nil, errEarlyClosed
	case e.said <- a:
		return a, nil
	}
}

// Consumer implements raft.AppendPipeline.
func (e *early) Consumer() <-chan raft.AppendFuture { return e.said }

// send sends what was answered, when it is time.
func (e *early) send() {
	for {
		select {
		case <-e.closed:
			return
		case a := <-e.appends:
			select {
			case <-e.closed:
				return
			case <-time.After(time.Until(a.start.Add(earlyBy))):
			}
			if _, err := e.AppendPipeline.AppendEntries(a.args, new(raft.AppendEntriesResponse)); err != nil {
				e.end()
				return
			}
		}
	}
}

// hear reads the real answers.
func (e *early) hear() {
	for {
		select {
		case <-e.closed:
			return
		case f := <-e.AppendPipeline.Consumer():
			if f.Error() != nil || !f.Response().Success {
				e.end()
				return
			}
		}
	}
}

func (e *early) end() {
	e.once.Do(func() { close(e.closed) })
}

// Close implements raft.AppendPipeline.
func (e *early) Close() error {
	e.end()
	err := e.AppendPipeline.Close()
	e.wg.Wait()
	return err
}
