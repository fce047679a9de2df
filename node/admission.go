package node

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A node with an empty directory must find out whether it is new or has lost its
// memory: it may have voted, or acknowledged entries, and forgotten it. So every
// empty directory gets an incarnation, and before the node takes part in Raft
// its peers write that incarnation down:
//
//   - It may found the cluster when a majority, itself included, has written its
//     incarnation down while empty too. A peer that founded the cluster
//     meanwhile still counts: it says that it was empty when it wrote.
//   - It may come late to a cluster that is running already when a majority of
//     all members, itself not included, has written its incarnation down.
//   - A peer that remembers another incarnation of it says so, and then it has
//     lost its memory: it never votes again until it is removed and joined anew.
//
// Whoever took part was written down by n/2 others at least. Whoever comes late
// asks n/2+1 of the n-1 others; the two sets share a peer, who remembers. That
// holds as long as a majority's disks survive.

// question is what nodes ask each other beside raft's RPCs.
type question struct {
	// Identify: the caller starts with an empty directory.
	Identify *identify `json:"identify,omitempty"`
}

type identify struct {
	From        string `json:"from"`
	Incarnation string `json:"incarnation"`
	Members     string `json:"members"` // digest of its initial cluster
}

// reply answers a question.
type reply struct {
	Error    string    `json:"error,omitempty"`
	Identity *whoIsWho `json:"identity,omitempty"`
}

// whoIsWho is what a peer says to an empty node.
type whoIsWho struct {
	// Empty: the peer had not taken part in Raft either when it wrote the caller's
	// incarnation down.
	Empty bool `json:"empty"`
	// Incarnation is the peer's own while it is empty, for the caller to write
	// down in its turn.
	Incarnation string `json:"incarnation,omitempty"`
	// Remembered is the incarnation of the caller that the peer has on disk: the
	// caller's own, unless it has lost its memory.
	Remembered string `json:"remembered"`
	Members    string `json:"members"`
}

// records are the incarnations that a node has written down, by node id.
type records map[string]record

type record struct {
	Incarnation string `json:"incarnation"`
	WhileEmpty  bool   `json:"while_empty"` // the writer was empty itself then
}

// note writes a peer's incarnation down unless one is known; changed says
// whether that has to go to disk before anyone is told.
func (r records) note(id, incarnation string, empty bool) (known record, changed bool) {
	known, ok := r[id]
	if ok && (known.Incarnation != incarnation || known.WhileEmpty || !empty) {
		return known, false
	}
	known = record{incarnation, empty}
	r[id] = known
	return known, true
}

// memory is a node's records, on disk.
type memory struct {
	mu    sync.Mutex
	path  string
	peers records
}

func openMemory(path string) (*memory, error) {
	m := &memory{path: path, peers: make(records)}
	if err := readJSONIfThere(path, &m.peers); err != nil {
		return nil, err
	}
	return m, nil
}

// note is records.note, on disk when it returns.
func (m *memory) note(id, incarnation string, empty bool) (record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, changed := m.peers.note(id, incarnation, empty)
	if !changed {
		return known, nil
	}
	if err := writeJSON(m.path, m.peers); err != nil {
		delete(m.peers, id)
		return record{}, err
	}
	return known, nil
}

// membersDigest tells two different initial clusters apart.
func membersDigest(members []Member) string {
	var lines []string
	for _, m := range members {
		lines = append(lines, m.ID+"="+m.Raft)
	}
	slices.Sort(lines)
	h := fnv.New64a()
	h.Write([]byte(strings.Join(lines, "\n")))
	return fmt.Sprintf("%016x", h.Sum64())
}

// answer is this node's side of every question.
func (n *Node) answer(q question) reply {
	if q.Identify == nil {
		return reply{Error: "unknown question: the nodes' versions differ"}
	}
	known, err := n.memory.note(q.Identify.From, q.Identify.Incarnation, n.empty.Load())
	if err != nil {
		n.log.Error("cannot remember a peer", zap.String("peer", q.Identify.From), zap.Error(err))
		return reply{Error: "cannot write the peer's incarnation down: " + err.Error()}
	}
	if known.Incarnation != q.Identify.Incarnation {
		n.log.Warn("a peer has lost its memory", zap.String("peer", q.Identify.From))
	}
	who := whoIsWho{Empty: known.WhileEmpty, Remembered: known.Incarnation, Members: membersDigest(n.cfg.InitialCluster)}
	if n.empty.Load() {
		who.Incarnation = n.dir.id.Incarnation
	}
	return reply{Identity: &who}
}

// admission is what may be done with an empty directory.
type admission int

const (
	admissionWait  admission = iota // too few peers have answered
	admissionFound                  // start, as one of those who found the cluster
	admissionLate                   // start, as a member that comes late
	admissionLost                   // never start
)

// admit decides from the peers' answers; voters counts all members, this node
// included.
func admit(voters int, incarnation string, answers map[string]whoIsWho) (admission, string) {
	majority := voters/2 + 1
	empty := 1
	for peer, a := range answers {
		if a.Remembered != incarnation {
			return admissionLost, peer
		}
		if a.Empty {
			empty++
		}
	}
	switch {
	case empty >= majority:
		return admissionFound, ""
	case len(answers) >= majority:
		return admissionLate, ""
	}
	return admissionWait, ""
}

// seekAdmission asks the peers until this node may start, has lost its memory
// (ErrLostMemory), or ctx ends.
func (n *Node) seekAdmission(ctx context.Context) error {
	pause := 20 * time.Millisecond
	var last admission
	for {
		answers, err := n.askPeers()
		if err != nil {
			return err
		}
		verdict, peer := admit(len(n.cfg.InitialCluster), n.dir.id.Incarnation, answers)
		switch verdict {
		case admissionFound, admissionLate:
			n.log.Info("empty data directory: taking part as a new node",
				zap.Bool("late", verdict == admissionLate), zap.Int("peers_answered", len(answers)))
			return nil
		case admissionLost:
			return n.loseMemory(peer)
		}
		n.setPhase(fmt.Sprintf("empty data directory: waiting for peers, %d of %d answered", len(answers), len(n.cfg.InitialCluster)-1))
		if last != verdict || pause == time.Second {
			n.log.Info("empty data directory: waiting for peers", zap.Int("peers_answered", len(answers)))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// loseMemory notes for ever that this directory must not vote.
func (n *Node) loseMemory(peer string) error {
	n.dir.id.Lost = fmt.Sprintf("%s remembers an earlier data directory of %s", peer, n.cfg.ID)
	if err := n.dir.saveIdentity(); err != nil {
		return err
	}
	return n.lostError()
}

func (n *Node) lostError() error {
	return fmt.Errorf("%w: %s, so data directory %s was emptied or replaced while the cluster has a history; "+
		"it does not vote, since it may have forgotten what it promised. Put the old directory back, "+
		"or remove %s from the cluster and join it again as a learner", ErrLostMemory, n.dir.id.Lost, n.dir.path, n.cfg.ID)
}

// askPeers puts the question to all peers at once, and writes down what those
// say of themselves who are empty too.
func (n *Node) askPeers() (map[string]whoIsWho, error) {
	var mu sync.Mutex
	answers := make(map[string]whoIsWho)
	digest := membersDigest(n.cfg.InitialCluster)
	var wg sync.WaitGroup
	for _, m := range n.cfg.InitialCluster {
		if m.ID == n.cfg.ID {
			continue
		}
		wg.Go(func() {
			q := question{Identify: &identify{From: n.cfg.ID, Incarnation: n.dir.id.Incarnation, Members: digest}}
			r, err := n.port.ask(m.Raft, q, n.cfg.RPCTimeout)
			switch {
			case err != nil:
				n.log.Debug("peer does not answer", zap.String("peer", m.ID), zap.Error(err))
			case r.Identity == nil:
				n.log.Error("peer answers something else", zap.String("peer", m.ID))
			case r.Identity.Members != digest && r.Identity.Empty:
				n.log.Error("peer has another initial cluster: give all nodes the same", zap.String("peer", m.ID))
			default:
				mu.Lock()
				answers[m.ID] = *r.Identity
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, a := range answers {
		if a.Incarnation == "" {
			continue
		}
		if _, err := n.memory.note(id, a.Incarnation, true); err != nil {
			return nil, fmt.Errorf("remember a peer: %w", err)
		}
	}
	return answers, nil
}
