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
	log      *logStore
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

func newTransport(inner *raft.NetworkTransport, c *contact, log *logStore, disk *diskWatch, maxBytes int, patient bool) *transport {
	t := &transport{
		NetworkTransport: inner, contact: c, log: log, disk: disk, maxBytes: maxBytes, patient: patient,
		rpcs: make(chan raft.RPC), hints: make(chan hint, 1), closed: make(chan struct{}), away: make(map[raft.ServerID]time.Time),
	}
	t.wg.Go(t.forward)
	return t
}

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
	if err != nil {
		return err
	}
	t.contact.noteAppended(id, args, resp, sent)
	return t.log.heldBack(args, resp, t.closed)
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
