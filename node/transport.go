package node

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// transport is raft's network transport with seven things added: it bounds the
// bytes of an AppendEntries (raft bounds only the number of its entries) and what
// one may commit, it keeps raft from going back to a snapshot, it notes who acknowledged what was sent when, it notes appends that
// come in, it tells raft of commit indexes that this node has asked for, and while
// this node's disk is stuck it sends nothing that leads or asks to lead.
type transport struct {
	*raft.NetworkTransport
	contact  *contact
	log      raft.LogStore
	disk     *diskWatch
	maxBytes int
	patient  bool                      // leases rest on what this node accepts; see SetHeartbeatHandler
	raft     atomic.Pointer[raft.Raft] // nil until it runs

	rpcs   chan raft.RPC
	hints  chan hint // holds the newest that forward has not seen
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup

	mu   sync.Mutex
	away map[raft.ServerID]time.Time // peers that the last replication did not reach, and when
}

// raft finds these by type assertion and silently does without them: pre-vote
// would be off.
var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(inner *raft.NetworkTransport, c *contact, log raft.LogStore, disk *diskWatch, maxBytes int, patient bool) *transport {
	t := &transport{
		NetworkTransport: inner, contact: c, log: log, disk: disk, maxBytes: maxBytes, patient: patient,
		rpcs: make(chan raft.RPC), hints: make(chan hint, 1), closed: make(chan struct{}), away: make(map[raft.ServerID]time.Time),
	}
	t.wg.Go(t.forward)
	return t
}

// forward hands RPCs on to raft one by one. An append counts as arrived when raft
// takes it, not when it is here: a raft that is stuck on its disk takes none.
func (t *transport) forward() {
	var told hint     // the newest
	var last appended // the end of the last append that raft took
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if !t.wanted(rpc) || t.answered(rpc) {
				continue
			}
			a, appends := rpc.Command.(*raft.AppendEntriesRequest)
			if !appends {
				t.deliver(rpc)
				continue
			}
			told.raise(a)
			t.shorten(a)
			commit := boundCommit(a)
			if t.deliver(rpc) {
				t.contact.noteAppend(a.Term, commit, clock())
				last = appended{a.Term, a.PrevLogEntry + uint64(len(a.Entries))}
			}
		case told = <-t.hints:
			if rpc, ok := t.asAppend(told, last); ok {
				t.deliver(rpc)
			}
		case <-t.closed:
			return
		}
	}
}

// boundCommit keeps an append from committing entries that it says nothing of, and
// returns the commit index that it came with. raft v1.7.3 commits up to the end of
// its own log where the leader's commit index is beyond that, instead of the last
// entry that the append has verified (Raft, figure 2: AppendEntries, step 5). A leader
// that tries again after a pause names its commit index of after the pause, and
// entries up to the end of its log before it: perhaps none. A node that came back
// with an entry at the end of its log that nobody else has would execute that.
func boundCommit(a *raft.AppendEntriesRequest) (commit uint64) {
	commit = a.LeaderCommitIndex
	a.LeaderCommitIndex = min(commit, a.PrevLogEntry+uint64(len(a.Entries)))
	return commit
}

// SetHeartbeatHandler implements raft.Transport. handle is raft's way past its
// main loop, which may be busy with the disk. A heartbeat that makes raft write
// its term takes the main loop all the same: where the disk hangs through two
// elections, raft could otherwise write the later term first and then go back to
// the earlier one, in which it may have promised its vote to somebody else.
//
// So does every heartbeat of a patient node. A lease rests on it that whoever
// accepts a heartbeat votes for nobody else for a while (see lease.go), and beside
// its main loop raft accepts one while that gives its vote, or just after it has
// found that the leader has been silent for too long.
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if !t.patient && t.changesNothing(rpc.Command.(*raft.AppendEntriesRequest).Term) {
			handle(rpc)
			return
		}
		t.deliver(rpc)
	})
}

// refusePause is how soon a stuck disk is noticed by an RPC that waits for raft.
const refusePause = 20 * time.Millisecond

// deliver waits until raft takes an RPC and returns whether it did. While the disk
// is stuck raft may take none, and callers that give up and come again would leave
// their requests here, each with a connection: they are told at once instead.
// A disk that has failed has nothing delivered any more.
func (t *transport) deliver(rpc raft.RPC) bool {
	if err := t.disk.failure(); err != nil {
		rpc.Respond(nil, err)
		return false
	}
	select {
	case t.rpcs <- rpc:
		return true
	default:
	}
	tick := time.NewTicker(refusePause)
	defer tick.Stop()
	for {
		// A snapshot would have to be read from the connection first.
		if err := t.disk.check(); err != nil && rpc.Reader == nil {
			rpc.Respond(nil, err)
			return false
		}
		select {
		case t.rpcs <- rpc:
			return true
		case <-t.closed:
			return false
		case <-tick.C:
		}
	}
}

// changesNothing says whether raft takes a heartbeat of this term without
// writing anything.
func (t *transport) changesNothing(term uint64) bool {
	r := t.raft.Load()
	if r == nil {
		return false
	}
	now := r.CurrentTerm()
	return term < now || (term == now && r.State() == raft.Follower)
}

// timeoutNow gives raft a TimeoutNow, which makes it call an election at once,
// without pre-vote, whatever its role. It returns whether raft took it in time.
func (t *transport) timeoutNow(patience time.Duration) bool {
	rpc := raft.RPC{
		Command:  &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}},
		RespChan: make(chan raft.RPCResponse, 1), // it says only that it was taken
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t.rpcs <- rpc:
		return true
	case <-timer.C:
	case <-t.closed:
	}
	return false
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.rpcs }

// Close implements raft.WithClose; raft calls it when it shuts down.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.closed) })
	err := t.NetworkTransport.Close()
	t.CloseStreams() // raft leaves its pool open: peers would go on counting this node's streams
	t.wg.Wait()
	return err
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.disk.check(); err != nil {
		return err
	}
	args.Entries = boundBytes(args.Entries, t.maxBytes)
	replicates := args.PrevLogEntry > 0 || len(args.Entries) > 0 || args.LeaderCommitIndex > 0
	if replicates {
		t.awaitPeer(id, args.Term)
	}
	sent := clock()
	err := t.NetworkTransport.AppendEntries(id, addr, args, resp)
	if replicates {
		t.noteReached(id, err)
	}
	if err == nil {
		t.contact.noteAppended(id, args, resp, sent)
	}
	return err
}

// awaitPause is how often is looked whether a peer is back.
const awaitPause = 5 * time.Millisecond

// awaitPeer waits, where the last replication to a peer failed, for a heartbeat
// that the peer acknowledges, or until this node does not lead in the term. raft
// doubles its pause with every failure, up to ten seconds, and forgets none but
// with a success: a peer that was away for half a minute would get no entry for
// ten seconds after it is back.
func (t *transport) awaitPeer(id raft.ServerID, term uint64) {
	t.mu.Lock()
	since, away := t.away[id]
	t.mu.Unlock()
	if !away {
		return
	}
	tick := time.NewTicker(awaitPause)
	defer tick.Stop()
	for !t.contact.lastAck(id, term).After(since) && t.leadsTo(id, term) {
		select {
		case <-tick.C:
		case <-t.closed:
			return
		}
	}
}

// leadsTo says whether this node leads in the term and has the peer as a member.
func (t *transport) leadsTo(id raft.ServerID, term uint64) bool {
	r := t.raft.Load()
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

func (t *transport) noteReached(id raft.ServerID, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.away, id)
		return
	}
	t.away[id] = clock()
}

// TimeoutNow implements raft.Transport.
func (t *transport) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	if err := t.disk.check(); err != nil {
		return err
	}
	return t.NetworkTransport.TimeoutNow(id, addr, args, resp)
}

// boundBytes cuts entries to those that fit in max bytes, the first one always
// included. raft goes on from the last entry of the request as it finds it after
// the call (updateLastAppended, pipelineSend), so the rest follows in the next.
func boundBytes(entries []*raft.Log, maxBytes int) []*raft.Log {
	size := 0
	for i, e := range entries {
		size += len(e.Data) + len(e.Extensions)
		if size > maxBytes && i > 0 {
			return entries[:i]
		}
	}
	return entries
}

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

// InstallSnapshot implements raft.Transport.
func (t *transport) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := t.disk.check(); err != nil {
		return err
	}
	t.awaitPeer(id, args.Term)
	sent := clock()
	err := t.NetworkTransport.InstallSnapshot(id, addr, args, resp, data)
	t.noteReached(id, err)
	if err == nil && resp.Term == args.Term {
		t.contact.noteAck(id, args.Term, sent)
	}
	return err
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
