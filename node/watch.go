package node

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// How often things are looked at again without an event.
const (
	watchIdle  = time.Second            // whether there is a leader to watch
	watchPause = 100 * time.Millisecond // between two tries to reach the leader
	watchProbe = 2 * time.Millisecond   // between the first two looks at a leader whose watch has ended
	probeSlows = 20 * time.Millisecond  // and between the last
)

// watch is a connection to the leader over which nothing is said. It ends when
// the leader's process does: its kernel closes it. Packets that are lost do not
// end it.
type watch struct {
	leader runOf
	conn   net.Conn
	addr   string // that the connection was made to, resolved
}

// watchLeader keeps one watch on the leader that this node follows, and looks into
// its end, until ctx ends.
func (n *Node) watchLeader(ctx context.Context, c *core) {
	for ctx.Err() == nil {
		id, addr := n.leaderToWatch(c)
		if id == "" {
			n.crash.wait(ctx, watchIdle)
			continue
		}
		w, err := n.dialWatch(ctx, id, addr, n.cfg.RPCTimeout)
		if err != nil {
			n.log.Debug("cannot watch the leader", zap.String("leader", id), zap.Error(err))
			n.crash.wait(ctx, watchPause)
		}
		for w != nil && n.hold(ctx, c, w) {
			w = n.lookInto(ctx, c, w)
		}
	}
}

// leaderToWatch returns the leader's id and address, or "" where there is none or
// this node is not a voter that follows it: whoever has no vote elects nobody.
func (n *Node) leaderToWatch(c *core) (id, addr string) {
	_, leader := c.raft.LeaderWithID()
	if c.raft.State() != raft.Follower || leader == "" || string(leader) == n.cfg.ID {
		return "", ""
	}
	members, voters := n.members(c)
	if !slices.Contains(voters, raft.ServerID(n.cfg.ID)) {
		return "", ""
	}
	for _, m := range members {
		if m.ID == string(leader) {
			return m.ID, m.Raft
		}
	}
	return "", ""
}

func (n *Node) dialWatch(ctx context.Context, id, addr string, timeout time.Duration) (*watch, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, run, err := n.port.connect(ctx, streamWatch, id, addr)
	if err != nil {
		return nil, err
	}
	return &watch{leader: runOf{id, run}, conn: conn, addr: conn.RemoteAddr().String()}, nil
}

// hold waits until the watch ends, or there is another leader to watch, or none.
func (n *Node) hold(ctx context.Context, c *core, w *watch) (ended bool) {
	end := make(chan struct{})
	n.group.Go(func() {
		_, _ = io.Copy(io.Discard, w.conn) // how it ended says nothing
		close(end)
	})
	defer w.conn.Close()
	n.crash.watching.Store(true)
	defer n.crash.watching.Store(false)
	for {
		if id, _ := n.leaderToWatch(c); id != w.leader.id {
			return false
		}
		select {
		case <-end:
			return true
		case <-n.crash.kick:
		case <-ctx.Done():
			return false
		}
	}
}

// lookInto finds out why the watch has ended, for as long as raft itself would
// wait for a sign of the leader. It returns a new watch where the same process
// answers. The address is the one that the old watch reached, so that no other
// address of the same name is taken for the leader's.
func (n *Node) lookInto(ctx context.Context, c *core, w *watch) *watch {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.HeartbeatTimeout)
	defer cancel()
	term := c.raft.CurrentTerm() // in which the run that was watched led, if it did
	for pause := watchProbe; ctx.Err() == nil; pause = min(2*pause, probeSlows) {
		s := suspicion{leader: w.leader, term: term, since: time.Now()}
		if id, _ := n.leaderToWatch(c); id != w.leader.id || c.raft.CurrentTerm() != term {
			return nil
		}
		again, err := n.dialWatch(ctx, w.leader.id, w.addr, n.cfg.HeartbeatTimeout)
		switch {
		case err == nil && again.leader == w.leader:
			return again
		case err == nil:
			again.conn.Close()
			s.cause = errors.New("another run of it answers on its port")
		case errors.Is(err, syscall.ECONNREFUSED):
			s.cause = err
		default: // a timeout, a reset, some other service: none says that the process is gone
		}
		if s.cause != nil && n.holds(c, s) {
			n.campaign(ctx, c, s)
		}
		n.crash.wait(ctx, pause)
	}
	return nil
}
