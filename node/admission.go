package node

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
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
//
// One that was removed and joined again (member_join.go) is no lost disk any more,
// and others may be lost after it, one by one, until none is left that saw the
// start. So it writes nobody down and adds nothing to R; it only tells that somebody
// else has lost its memory, where it knows. And the R answers are those of one round:
// over a longer time more disks may be lost than f, though never at once.

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
	if known == "" {
		return reply{Error: fmt.Sprintf("%s has joined later, or is to, and cannot know that %s is new", n.cfg.ID, from)}
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
// (ErrLostMemory), or ctx ends.
func (n *Node) seekAdmission(ctx context.Context) error {
	w := newWaiting(n)
	for {
		remembered, why := n.askPeers()
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
		if err := w.pauseFor(ctx, phase); err != nil {
			return err
		}
	}
}

// waiting is a wait for other nodes, with pauses that grow.
type waiting struct {
	n     *Node
	pause time.Duration
	said  string
}

func newWaiting(n *Node) *waiting { return &waiting{n: n, pause: 20 * time.Millisecond} }

// pauseFor says what is waited for, in the log only where that is news, and returns
// after a pause, or ctx's cause.
func (w *waiting) pauseFor(ctx context.Context, phase string) error {
	if w.n.setPhase(phase); phase != w.said {
		w.n.log.Info("waiting for peers", zap.String("phase", phase))
		w.said = phase
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(w.pause):
	}
	w.pause = min(2*w.pause, time.Second)
	return nil
}

// loseMemory notes for ever that this directory must not vote.
func (n *Node) loseMemory(peer string) error {
	n.dir.id.Lost = fmt.Sprintf("%s remembers an earlier data directory of %s", peer, n.cfg.ID)
	if err := n.dir.saveIdentity(); err != nil {
		return err
	}
	return n.stayLost()
}

// stayLost has every port say why this node takes no part.
func (n *Node) stayLost() error {
	err := n.lostError()
	text := err.Error()
	n.phase.Store(&text) // before the role: whoever sees that reads this
	n.lost.Store(true)
	return err
}

func (n *Node) lostError() error {
	return fmt.Errorf("%w: %s, so data directory %s was emptied or replaced while the cluster has a history; "+
		"it does not vote, since it may have forgotten what it promised. Put the old directory back, "+
		"or have it come back as a learner: run `%s`, then start %s with --join",
		ErrLostMemory, n.dir.id.Lost, n.dir.path, n.removeCommand(n.cfg.ID, n.cfg.others()[0].id), n.cfg.ID)
}

// askPeers puts the question to all peers and returns their answers, by their ids,
// and why one of them gave none, for people.
func (n *Node) askPeers() (remembered map[string]string, why string) {
	remembered = make(map[string]string)
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.RPCTimeout)
	defer cancel()
	q := question{Identify: &identify{Incarnation: n.dir.id.Incarnation, Members: membersDigest(n.cfg.InitialCluster)}}
	n.askAll(ctx, n.cfg.others(), q, func(p peerAt, r reply, err error) {
		if err == nil && r.Identity == nil {
			err = errOtherVersion
		}
		if err != nil {
			why = fmt.Sprintf("%s: %v", p.id, err)
			return
		}
		remembered[p.id] = r.Identity.Remembered
	})
	return remembered, why
}
