package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

const (
	// entriesInFlight is how many log entries may be on their way at once.
	// Writes that come while all are gather in the next one; with few writers
	// none ever waits.
	entriesInFlight = 4
	// maxEntryCommands bounds the commands of an entry, and with it how long one
	// entry keeps readers from the state machine.
	maxEntryCommands = 1024
	// proposalQueue is how many writes may wait for a place in an entry.
	proposalQueue = 16384
	// proposalBytes is how many bytes those may have together.
	proposalBytes = 64 << 20
	// maxPooledBytes is the largest command whose buffer is used again.
	maxPooledBytes = 64 << 10
)

// proposal is one write on its way into the log. Its command is encoded by the
// caller, so that the caller's buffers are free again whatever happens.
type proposal struct {
	encoded []byte
	state   atomic.Uint32 // proposalWaiting, then one of the others
	done    chan decision // gets one decision, unless cancelled; holds one
}

const (
	proposalWaiting = iota
	proposalTaken
	proposalCancelled
)

// decision is what became of a proposal.
type decision struct {
	result kv.Result
	err    error
}

// proposer gathers waiting writes into log entries. One goroutine fills entries;
// one more for each entry in flight waits for raft.
type proposer struct {
	raft     *raft.Raft
	maxBytes int
	log      *zap.Logger
	queue    chan *proposal
	waiting  atomic.Int64 // bytes of the proposals that have not been answered
	slots    chan struct{}
	quit     chan struct{} // closed by stop
	gone     chan struct{} // closed by abandon
	once     sync.Once
	end      sync.Once
	wg       sync.WaitGroup
	pool     sync.Pool
	time     termClock
}

func newProposer(r *raft.Raft, maxBytes int, log *zap.Logger) *proposer {
	p := &proposer{
		raft: r, maxBytes: maxBytes, log: log,
		queue: make(chan *proposal, proposalQueue),
		slots: make(chan struct{}, entriesInFlight),
		quit:  make(chan struct{}),
		gone:  make(chan struct{}),
		pool:  sync.Pool{New: func() any { return &proposal{done: make(chan decision, 1)} }},
	}
	p.wg.Go(p.run)
	return p
}

// propose puts a command in the log and waits until it is applied here. Its
// error wraps ErrNotApplied or ErrUnknown.
func (p *proposer) propose(ctx context.Context, c *kv.Command) (kv.Result, error) {
	pr := p.pool.Get().(*proposal)
	if cap(pr.encoded) > maxPooledBytes {
		pr.encoded = nil
	}
	pr.encoded = kv.AppendCommand(pr.encoded[:0], c)
	pr.state.Store(proposalWaiting)
	size := int64(len(pr.encoded))
	defer p.waiting.Add(-size)
	if p.waiting.Add(size) > proposalBytes {
		return kv.Result{}, notApplied(ErrOverloaded)
	}
	select {
	case <-p.quit:
		return kv.Result{}, notApplied(ErrClosed)
	default:
	}
	select {
	case p.queue <- pr:
	default:
		p.pool.Put(pr)
		return kv.Result{}, notApplied(ErrOverloaded)
	}
	select {
	case d := <-pr.done:
		p.pool.Put(pr)
		return d.result, d.err
	case <-ctx.Done():
	case <-p.quit:
		// The run loop may be gone with pr in the queue; one that was taken is
		// decided all the same, by raft or by abandon.
	}
	if pr.state.CompareAndSwap(proposalWaiting, proposalCancelled) {
		if ctx.Err() != nil {
			return kv.Result{}, notApplied(context.Cause(ctx))
		}
		return kv.Result{}, notApplied(ErrClosed)
	}
	select {
	case d := <-pr.done:
		return d.result, d.err
	case <-ctx.Done():
		return kv.Result{}, unknown(context.Cause(ctx))
	}
}

// stop refuses what still waits, and all that comes.
func (p *proposer) stop() { p.once.Do(func() { close(p.quit) }) }

// abandon decides every entry in flight as unknown that raft has not answered.
// It is called once raft has shut down, hangs or is to be left alone: raft drops
// what is in its channels when it ends, and would never answer.
func (p *proposer) abandon() { p.end.Do(func() { close(p.gone) }) }

// settle waits until raft has answered all that it was given, after stop.
func (p *proposer) settle(limit time.Duration) {
	settled := make(chan struct{})
	go func() { // ends with abandon at the latest
		p.wg.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-time.After(limit):
	}
}

// turnAway refuses what waits for a place in an entry and is in no entry yet.
func (p *proposer) turnAway(why error) {
	for {
		select {
		case pr := <-p.queue:
			if pr.state.CompareAndSwap(proposalWaiting, proposalTaken) {
				pr.done <- decision{err: notApplied(why)}
			}
		default:
			return
		}
	}
}

func (p *proposer) run() {
	var held *proposal // taken, and did not fit in the entry before
	for {
		select {
		case p.slots <- struct{}{}:
		case <-p.quit:
			if held != nil {
				held.done <- decision{err: notApplied(ErrClosed)}
			}
			return
		}
		batch, size := make([]*proposal, 0, 16), 0
		if held != nil {
			batch, size, held = append(batch, held), len(held.encoded), nil
		}
		batch, held = p.gather(batch, size)
		if len(batch) == 0 {
			return
		}
		p.submit(batch)
	}
}

// gather waits for a first proposal and takes those that wait with it, up to the
// bounds. The second result was taken and did not fit.
func (p *proposer) gather(batch []*proposal, size int) ([]*proposal, *proposal) {
	for len(batch) == 0 {
		select {
		case pr := <-p.queue:
			if pr.state.CompareAndSwap(proposalWaiting, proposalTaken) {
				batch, size = append(batch, pr), len(pr.encoded)
			}
		case <-p.quit:
			return nil, nil
		}
	}
	for len(batch) < maxEntryCommands {
		select {
		case pr := <-p.queue:
			if !pr.state.CompareAndSwap(proposalWaiting, proposalTaken) {
				continue
			}
			if size += len(pr.encoded); size > p.maxBytes {
				return batch, pr
			}
			batch = append(batch, pr)
		default:
			return batch, nil
		}
	}
	return batch, nil
}
