package node

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A node with an empty directory must find out whether it is new or has lost its
// memory: it may have voted, or acknowledged entries, and forgotten it. So every
// empty directory gets an incarnation, and before the node takes part in Raft
// enough of its peers write that incarnation down, on disk. A peer that remembers
// another incarnation says so, and then the node has lost its memory: it never
// votes until it is removed and joined anew.
//
// How many is enough? With n voters, f = n/2 of them may lose their disks. A node
// that took part was written down by R peers; when it comes back empty it finds R
// peers again, of which f-1 may have been emptied as well. One who remembers is
// among them if R + R - (n-1) > f-1, that is R >= 3f/2. Fewer, such as the
// majority that Raft needs for everything else, would not do: two of three that
// found a cluster could not be told, later, from one of them wiped and the third
// one new. The price: the very first start of three nodes takes all three, of
// five takes four, of seven six. Once a node has taken part it starts alone.

// identify is the question of a node with an empty directory.
type identify struct {
	Incarnation string `json:"incarnation"`
	Members     string `json:"members"` // digest of its initial cluster
}

// whoIsWho is what a peer says to an empty node.
type whoIsWho struct {
	// Remembered is the incarnation of the caller that the peer has on disk: the
	// caller's own, unless it has lost its memory.
	Remembered string `json:"remembered"`
}

// records are the incarnations that a node has written down, by node id.
type records map[string]string

// note writes a peer's incarnation down unless one is known, and returns the one
// that is; changed says whether that has to go to disk before anyone is told.
func (r records) note(id, incarnation string) (known string, changed bool) {
	if known, ok := r[id]; ok {
		return known, false
	}
	r[id] = incarnation
	return incarnation, true
}

// memory is a node's records, on disk.
type memory struct {
	mu    sync.Mutex
	path  string
	peers records
}

// openMemory reads the records, or begins them in a directory that is new.
func openMemory(path string, joined bool) (*memory, error) {
	m := &memory{path: path}
	err := readJSON(path, &m.peers)
	if errors.Is(err, os.ErrNotExist) && !joined {
		m.peers = make(records)
		return m, writeJSON(path, m.peers)
	}
	if err == nil && m.peers == nil {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, damaged(filepath.Dir(path), path, fmt.Errorf("what is known of the peers: %w", err))
	}
	return m, nil
}

// note is records.note, on disk when it returns.
func (m *memory) note(id, incarnation string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, changed := m.peers.note(id, incarnation)
	if !changed {
		return known, nil
	}
	if err := writeJSON(m.path, m.peers); err != nil {
		delete(m.peers, id)
		return "", err
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

// vouch writes a peer down, or says that it remembers another incarnation.
func (n *Node) vouch(from string, q identify) reply {
	switch _, member := n.cfg.member(from); {
	case !member:
		return reply{Error: fmt.Sprintf("the initial cluster of %s does not name %s", n.cfg.ID, from)}
	case q.Members != membersDigest(n.cfg.InitialCluster) && !n.joined.Load():
		return reply{Error: fmt.Sprintf("%s has another initial cluster than %s: give all nodes the same", n.cfg.ID, from)}
	case n.lost.Load():
		return reply{Error: n.cfg.ID + " has lost its memory and cannot vouch for anyone"}
	}
	known, err := n.memory.note(from, q.Incarnation)
	if err != nil {
		n.log.Error("cannot remember a peer", zap.String("peer", from), zap.Error(err))
		return reply{Error: "cannot write the peer's incarnation down: " + err.Error()}
	}
	if known != q.Incarnation {
		n.log.Warn("a peer has lost its memory", zap.String("peer", from))
	}
	return reply{Identity: &whoIsWho{Remembered: known}}
}

// admission is what may be done with an empty directory.
type admission int

const (
	admissionWait  admission = iota // too few peers have answered
	admissionStart                  // take part
	admissionLost                   // never take part
)

// needed is how many peers must have written a node down before it takes part.
func needed(voters int) int { return (3*(voters/2) + 1) / 2 }

// admit decides from what the peers remember of this node, by their ids.
func admit(voters int, incarnation string, remembered map[string]string) (admission, string) {
	for peer, known := range remembered {
		if known != incarnation {
			return admissionLost, peer
		}
	}
	if len(remembered) >= needed(voters) {
		return admissionStart, ""
	}
	return admissionWait, ""
}

// seekAdmission asks the peers until this node may start, has lost its memory
// (ErrLostMemory), or ctx ends. What a peer has written down once stays, so
// answers add up over the attempts.
func (n *Node) seekAdmission(ctx context.Context) error {
	remembered := make(map[string]string)
	pause, said := 20*time.Millisecond, ""
	for {
		why := n.askPeers(remembered)
		switch verdict, peer := admit(len(n.cfg.InitialCluster), n.dir.id.Incarnation, remembered); verdict {
		case admissionStart:
			n.log.Info("empty data directory: taking part as a new node", zap.Int("peers", len(remembered)))
			return nil
		case admissionLost:
			return n.loseMemory(peer)
		}
		phase := fmt.Sprintf("its data directory is empty, and before it takes part %d peers must know it; so far %d do", needed(len(n.cfg.InitialCluster)), len(remembered))
		if why != "" {
			phase += " (" + why + ")"
		}
		if n.setPhase(phase); phase != said {
			n.log.Info("waiting for peers", zap.String("phase", phase))
			said = phase
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
	n.lost.Store(true)
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

// askPeers puts the question to all peers that have not answered yet, at once,
// and adds their answers. It returns why one of them did not, for people.
func (n *Node) askPeers(remembered map[string]string) (why string) {
	var mu sync.Mutex
	var silent []Member // the goroutines below change remembered
	for _, m := range n.cfg.InitialCluster {
		if _, done := remembered[m.ID]; !done && m.ID != n.cfg.ID {
			silent = append(silent, m)
		}
	}
	q := question{Identify: &identify{Incarnation: n.dir.id.Incarnation, Members: membersDigest(n.cfg.InitialCluster)}}
	var wg sync.WaitGroup
	for _, m := range silent {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(n.ctx, n.cfg.RPCTimeout)
			defer cancel()
			r, err := n.port.ask(ctx, m.Raft, q)
			if err == nil && r.Identity == nil {
				err = errors.New("it answers something else: the nodes' versions differ")
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				why = fmt.Sprintf("%s: %v", m.ID, err)
				return
			}
			remembered[m.ID] = r.Identity.Remembered
		})
	}
	wg.Wait()
	return why
}
