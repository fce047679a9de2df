package node

import (
	"sync"

	"github.com/hashicorp/raft"
)

// AppendEntriesPipeline implements raft.Transport.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	if err := t.disk.check(); err != nil {
		return nil, err
	}
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, addr)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: earlyPipeline(inner), t: t, id: id, done: make(chan raft.AppendFuture), closed: make(chan struct{})}
	p.wg.Go(p.watch)
	return p, nil
}

// pipeline looks at the answers that pass through, and ends at the first that
// failed. raft reads no answer after that one, but may go on sending: with
// nobody to read, the second request to follow would wait for ever, and the
// follower would get heartbeats and no entries until the leader changes
// (hashicorp/raft issue 612).
type pipeline struct {
	raft.AppendPipeline
	t      *transport
	id     raft.ServerID
	done   chan raft.AppendFuture
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
}

func (p *pipeline) watch() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			failed := f.Error() != nil || !f.Response().Success
			if f.Error() == nil {
				p.t.contact.noteAppended(p.id, f.Request(), f.Response(), f.Start())
				if p.t.log.heldBack(f.Request(), f.Response(), p.closed) != nil {
					p.AppendPipeline.Close()
					return
				}
			}
			select {
			case p.done <- f:
			case <-p.closed:
				return
			}
			if failed {
				p.AppendPipeline.Close()
				return
			}
		case <-p.closed:
			return
		}
	}
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := p.t.disk.check(); err != nil {
		return nil, err
	}
	args.Entries = boundBytes(args.Entries, p.t.maxBytes)
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.done }

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	err := p.AppendPipeline.Close()
	p.once.Do(func() { close(p.closed) })
	p.wg.Wait()
	return err
}
