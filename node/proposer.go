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

// proposal is one write on its way into the log, or several that came together.
// Their commands are encoded by the caller, so that the caller's buffers are free
// again whatever happens.
type proposal struct {
	encoded []byte
	count   int           // commands, at most maxEntryCommands
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
	results []kv.Result // one for each command, where there is no error
	err     error
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
	pr := p.get()
	pr.encoded, pr.count = kv.AppendCommand(pr.encoded[:0], c), 1
	results, err := p.enter(ctx, pr)
	if err != nil {
		return kv.Result{}, err
	}
	return results[0], nil
}

// proposeAll is propose of several commands, encoded one after the other, which are
// decided together. It returns a buffer in place of theirs.
func (p *proposer) proposeAll(ctx context.Context, encoded []byte, count int) ([]kv.Result, []byte, error) {
	pr := p.get()
	spare := pr.encoded[:0]
	pr.encoded, pr.count = encoded, count
	results, err := p.enter(ctx, pr)
	return results, spare, err
}

func (p *proposer) get() *proposal {
	pr := p.pool.Get().(*proposal)
	if cap(pr.encoded) > maxPooledBytes {
		pr.encoded = nil
	}
	pr.state.Store(proposalWaiting)
	return pr
}

// enter queues a proposal, which is the proposer's from then on, and waits until it is
// decided.
func (p *proposer) enter(ctx context.Context, pr *proposal) ([]kv.Result, error) {
	size := int64(len(pr.encoded))
	defer p.waiting.Add(-size)
	if p.waiting.Add(size) > proposalBytes {
		return nil, notApplied(ErrOverloaded)
	}
	select {
	case <-p.quit:
		return nil, notApplied(ErrClosed)
	default:
	}
	select {
	case p.queue <- pr:
	default:
		p.pool.Put(pr)
		return nil, notApplied(ErrOverloaded)
	}
	select {
	case d := <-pr.done:
		p.pool.Put(pr)
		return d.results, d.err
	case <-ctx.Done():
	case <-p.quit:
		// The run loop may be gone with pr in the queue; one that was taken is
		// decided all the same, by raft or by abandon.
	}
	if pr.state.CompareAndSwap(proposalWaiting, proposalCancelled) {
		if ctx.Err() != nil {
			return nil, notApplied(context.Cause(ctx))
		}
		return nil, notApplied(ErrClosed)
	}
	select {
	case d := <-pr.done:
		return d.results, d.err
	case <-ctx.Done():
		return nil, unknown(context.Cause(ctx))
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
		batch := make([]*proposal, 0, 16)
		if held != nil {
			batch, held = append(batch, held), nil
		}
		batch, held = p.gather(batch)
		if len(batch) == 0 {
			return
		}
		p.submit(batch)
	}
}

// gather waits for a first proposal and takes those that wait with it, up to the
// bounds. The second result was taken and did not fit.
func (p *proposer) gather(batch []*proposal) ([]*proposal, *proposal) {
	for len(batch) == 0 {
		select {
		case pr := <-p.queue:
			if pr.state.CompareAndSwap(proposalWaiting, proposalTaken) {
				batch = append(batch, pr)
			}
		case <-p.quit:
			return nil, nil
		}
	}
	size, count := len(batch[0].encoded), batch[0].count
	for count < maxEntryCommands {
		select {
		case pr := <-p.queue:
			if !pr.state.CompareAndSwap(proposalWaiting, proposalTaken) {
				continue
			}
			size, count = size+len(pr.encoded), count+pr.count
			if size > p.maxBytes || count > maxEntryCommands {
				return batch, pr
			}
			batch = append(batch, pr)
		default:
			return batch, nil
		}
	}
	return batch, nil
}
