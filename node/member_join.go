package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// A node whose directory was lost comes back under its old id: it is removed, and
// with an empty directory asks to be added as a learner (Config.Join). It has
// forgotten its votes. Why can that elect no two leaders in one term?
//
// The node is let in by an entry that a leader commits, in a term J, after the node
// has asked, and in whose log the node is no voter. The votes of the old directory
// were counted by candidates in whose logs it was one; none of them has that entry,
// so none of them wins a term after J: a majority has the entry and refuses (Raft,
// section 5.4; majorities overlap since members change one by one). The new
// directory votes only in terms after J. That has to be seen to: a candidate that
// was stopped while it asked for votes in an earlier term, or in J itself, could ask
// the new directory what the old one has answered. So the leader tells the node
// the term, and before raft starts the node writes down that it has voted in it, for
// nobody. In each term, then, votes of one of the two directories alone can count.
//
// Entries that it has acknowledged and forgotten are safe as well: while it was a
// voter and empty it took no part (admission.go), its removal needed a majority of
// the others, and a promoted node counts towards commits only with what it
// acknowledges after that. A learner that is emptied again is let in again without
// a removal, since it is no voter in the leader's log. A voter is refused.

// joined is a leader's answer to a node that wants to be added as a learner.
type joined struct {
	Refused string `json:"refused,omitempty"` // why it was not added, for people
	// Term is one up to which, included, the node must vote for nobody.
	Term uint64 `json:"term"`
	// Peers are the incarnations that the leader knows: the new directory must not
	// make the cluster forget who has taken part.
	Peers records `json:"peers,omitempty"`
}

// letIn adds a node as a learner that asks for it, if it is no voter.
func (n *Node) letIn(from string) reply {
	named, _ := n.cfg.member(from)
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.RPCTimeout)
	defer cancel()
	term, err := n.change(ctx, func(c *core, members []healthcheck.Member) (changing, error) {
		if _, err := mayAdd(named, named, members); err != nil {
			return nil, err
		}
		n.contact.forget(raft.ServerID(from)) // it may be one that was emptied again
		return n.addingLearner(c, named), nil
	})
	switch {
	case errors.Is(err, ErrIsVoter):
		return reply{Joined: &joined{Refused: fmt.Sprintf("%s is still a voter for leader %s in term %d, and a voter whose data directory was emptied "+
			"may have forgotten a vote: remove it with `%s`", from, n.cfg.ID, n.Report().Term, n.removeCommand(from, n.cfg.ID))}}
	case err != nil:
		return reply{Error: fmt.Sprintf("%s cannot add %s: %v", n.cfg.ID, from, err)}
	}
	return reply{Joined: &joined{Term: term, Peers: n.memory.all(n.cfg.ID, n.dir.id.Incarnation)}}
}

// join asks the other nodes until a leader has added this one, and starts raft.
func (n *Node) join() error {
	w := newWaiting(n)
	for {
		in, why := n.askToJoin()
		if in != nil {
			return n.enter(in)
		}
		if err := w.pauseFor(n.ctx, "its data directory is empty, and it waits for a leader to add it as a learner ("+why+")"); err != nil {
			return err
		}
	}
}

// askToJoin returns the answer of the leader that has added this node, or why none
// has, for people: a leader's reason rather than another node's.
func (n *Node) askToJoin() (in *joined, why string) {
	ctx, cancel := context.WithTimeout(n.ctx, 2*n.cfg.RPCTimeout)
	defer cancel()
	refused := ""
	q := question{Join: new(struct{})}
	n.askAll(ctx, n.cfg.others(), q, func(p peerAt, r reply, err error) {
		switch {
		case err != nil:
			why = p.id + ": " + err.Error()
		case r.Joined == nil:
			why = p.id + ": " + errOtherVersion.Error()
		case r.Joined.Refused != "":
			refused = r.Joined.Refused
		case in == nil || r.Joined.Term > in.Term:
			in = r.Joined
		}
	})
	if refused != "" {
		why = refused
	}
	return in, why
}

// enter starts raft as the learner that this node now is.
func (n *Node) enter(in *joined) error {
	n.log.Info("added as a learner", zap.Uint64("term", in.Term))
	if err := n.memory.learn(in.Peers); err != nil {
		return err
	}
	n.dir.id.Rejoined, n.dir.id.Lost = true, ""
	if err := n.dir.saveIdentity(); err != nil {
		return err
	}
	return n.startRaft(in)
}

// abstain writes down, in a directory in which raft has never run, that this node
// has voted in a term, for nobody. It makes raft wait for a leader, too, since a
// directory with a term is no new cluster's.
func abstain(s *logStore, term uint64) error {
	nobody := append(binary.BigEndian.AppendUint64(nil, term), " nobody: it has joined"...)
	if err := s.Set([]byte(keyVote), nobody); err != nil {
		return fmt.Errorf("write the vote that is not given: %w", err)
	}
	if err := s.SetUint64([]byte(keyTerm), term); err != nil {
		return fmt.Errorf("write the term: %w", err)
	}
	return nil
}

// removeCommand is what a person types to remove a member, at another one.
func (n *Node) removeCommand(id, at string) string {
	addr := "HOST:PORT"
	if m, _ := n.cfg.member(at); m.Health != "" {
		addr = m.Health
	}
	return fmt.Sprintf("dengine-node remove %s --at %s", id, addr)
}
