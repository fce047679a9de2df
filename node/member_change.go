package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// RemoveMember takes a member out of the cluster and returns once that is
// committed. Only the leader can. What it refuses is an error of member.go, or
// ErrNotLeader or ErrStarting; ErrUnknown means that it may yet happen.
func (n *Node) RemoveMember(ctx context.Context, id string) error {
	_, err := n.change(ctx, func(c *core, members []healthcheck.Member) (changing, error) {
		if err := mayRemove(id, n.cfg.ID, members); err != nil {
			return nil, err
		}
		if err := mayLose(id, members, n.silent(ctx, c, id, members)); err != nil {
			return nil, err
		}
		n.log.Info("removing a member", zap.String("member", id))
		return func(limit time.Duration) raft.IndexFuture { return c.raft.RemoveServer(raft.ServerID(id), 0, limit) }, nil
	})
	if err == nil {
		n.contact.forget(raft.ServerID(id))
	}
	return err
}

// AddLearner makes a node of the initial cluster a learner and returns once that is
// committed; nothing happens where it is one. Addresses may be left out. Errors are
// as those of RemoveMember.
func (n *Node) AddLearner(ctx context.Context, m Member) error {
	_, err := n.change(ctx, func(c *core, members []healthcheck.Member) (changing, error) {
		named, _ := n.cfg.member(m.ID)
		already, err := mayAdd(m, named, members)
		if err != nil || already {
			return nil, err
		}
		return n.addingLearner(c, named), nil
	})
	return err
}

func (n *Node) addingLearner(c *core, m Member) changing {
	n.log.Info("adding a learner", zap.String("member", m.ID))
	return func(limit time.Duration) raft.IndexFuture {
		return c.raft.AddNonvoter(raft.ServerID(m.ID), raft.ServerAddress(m.Raft), 0, limit)
	}
}

// changing gives raft a change of the configuration; limit bounds the wait until
// raft takes it.
type changing func(limit time.Duration) raft.IndexFuture

// change makes one change of the configuration and returns, once it is committed,
// the term in which this node leads and that happened. decide gets the members as
// they are; where it gives no change, nothing happens. Changes of one term follow
// each other, so that decide decides from what is.
func (n *Node) change(ctx context.Context, decide func(c *core, members []healthcheck.Member) (changing, error)) (term uint64, err error) {
	c := n.core.Load()
	if c == nil {
		return 0, ErrStarting
	}
	if !n.reshaping.TryLock() {
		return 0, ErrChangeUnderWay
	}
	defer n.reshaping.Unlock()
	term, ok := n.leading(c)
	if !ok {
		return 0, ErrNotLeader
	}
	members, _ := n.members(c)
	do, err := decide(c, members)
	if err != nil || do == nil {
		return term, err
	}
	if err := n.commit(ctx, do); err != nil {
		return 0, err
	}
	if now, ok := n.leading(c); !ok || now != term {
		return 0, unknown(errors.New("leadership was lost meanwhile"))
	}
	return term, nil
}

// commit hands a change to raft and waits for it. raft takes none before the one
// before it is committed, and does not say when that will be.
func (n *Node) commit(ctx context.Context, do changing) error {
	done := make(chan error, 1)
	go func() { done <- do(n.cfg.RPCTimeout / 2).Error() }() // not waited for: raft answers when leadership ends, at the latest
	select {
	case err := <-done:
		return changeError(err)
	case <-ctx.Done():
		return unknown(fmt.Errorf("it was not committed in time: %w", context.Cause(ctx)))
	case <-n.ctx.Done():
		return unknown(ErrClosed)
	}
}

// changeError sorts what raft says of a change; see applyError.
func changeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrChangeUnderWay
	}
	return unknown(err)
}

// silent asks the voters but one whether they run and follow this leader, and
// returns why those that cannot be counted on cannot.
func (n *Node) silent(ctx context.Context, c *core, without string, members []healthcheck.Member) map[string]string {
	out := make(map[string]string)
	var others []peerAt
	for _, m := range votersAmong(members) {
		if m.ID != n.cfg.ID && m.ID != without {
			others = append(others, peerAt{m.ID, m.Raft})
			out[m.ID] = "it does not answer"
		}
	}
	term := c.raft.CurrentTerm()
	ctx, cancel := context.WithTimeout(ctx, n.cfg.RPCTimeout)
	defer cancel()
	n.askAll(ctx, others, question{Progress: new(struct{})}, func(p peerAt, r reply, err error) {
		switch {
		case err != nil:
			out[p.id] = strings.TrimSpace(err.Error())
		case r.Progress == nil:
			out[p.id] = errOtherVersion.Error()
		case r.Progress.Follows != n.cfg.ID || r.Progress.Term != term:
			out[p.id] = "it runs, but does not follow " + n.cfg.ID
		default:
			delete(out, p.id)
		}
	})
	return out
}
