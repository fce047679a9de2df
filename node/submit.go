package node

import (
	"sync"
	"time"

	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// submit gives one entry to raft and leaves a goroutine to wait for it.
func (p *proposer) submit(batch []*proposal) {
	size, count := kv.MaxHeaderBytes, 0
	for _, pr := range batch {
		size, count = size+len(pr.encoded), count+pr.count
	}
	entry := p.appendHeader(make([]byte, 0, size), count)
	for _, pr := range batch {
		entry = append(entry, pr.encoded...)
	}
	future := p.raft.Apply(entry, 0)
	p.wg.Go(func() {
		err := p.await(future)
		<-p.slots
		p.decide(batch, future, err)
	})
}

// await returns what raft says of an entry, or that raft is gone. The goroutine
// that it leaves behind in that case waits for an answer that does not come.
func (p *proposer) await(future raft.ApplyFuture) error {
	answered := make(chan error, 1)
	go func() { answered <- future.Error() }()
	select {
	case err := <-answered:
		return err
	case <-p.gone:
		return raft.ErrRaftShutdown
	}
}

func (p *proposer) decide(batch []*proposal, future raft.ApplyFuture, err error) {
	var res applied
	if err == nil {
		res = future.Response().(applied)
		err = res.err
	}
	if err != nil {
		err = applyError(err)
		p.log.Debug("entry failed", zap.Int("proposals", len(batch)), zap.Error(err))
		for _, pr := range batch {
			pr.done <- decision{err: err}
		}
		return
	}
	results := res.results
	for _, pr := range batch {
		n := pr.count // it is another's as soon as it is decided
		pr.done <- decision{results: results[:n:n]}
		results = results[n:]
	}
}

// appendHeader begins an entry of n commands, with how long this node has led.
// Where raft logs it in a later term than the one read here, it tells no time.
func (p *proposer) appendHeader(b []byte, n int) []byte {
	term := p.raft.CurrentTerm()
	return kv.AppendEntry(b, term, uint64(p.time.elapsed(term, clock())), n)
}

// mark marks the start of a term in the state machine, with the limits that hold
// from then on. It returns when it is applied or has failed.
func (p *proposer) mark(limits kv.Limits, timeout time.Duration) error {
	c := kv.Command{Op: kv.OpMark, Limits: limits}
	return p.await(p.raft.Apply(kv.AppendCommand(p.appendHeader(nil, 1), &c), timeout))
}

// termClock measures the time since the first entry of the newest term, on the
// monotonic clock that time.Time carries.
type termClock struct {
	mu    sync.Mutex
	term  uint64
	start time.Time
}

func (t *termClock) elapsed(term uint64, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if term > t.term {
		t.term, t.start = term, now
	}
	if term < t.term { // read before the other caller saw a new one
		return 0
	}
	return max(now.Sub(t.start), 0)
}
