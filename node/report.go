package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Changed implements healthcheck.Source.
func (n *Node) Changed(epoch string) <-chan struct{} {
	b := n.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.report.Epoch != epoch {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	return b.changed
}

// Report is the node's role as of now; see healthcheck.Report. It implements
// healthcheck.Source.
func (n *Node) Report() healthcheck.Report {
	n.reporting.Lock() // what is looked at later must be published later
	defer n.reporting.Unlock()
	r, before := n.board.publish(n.report(clock()))
	if before != nil {
		n.logChange(*before, r)
	}
	return r
}

func (n *Node) logChange(before, now healthcheck.Report) {
	if before.Role == now.Role && before.Term == now.Term && before.Leader == now.Leader && before.Primary == now.Primary {
		return
	}
	n.counters.changes.Add(1)
	n.log.Info("role changed",
		zap.String("role", string(now.Role)), zap.Uint64("term", now.Term),
		zap.String("leader", now.Leader.ID), zap.Bool("primary", now.Primary))
}

// report looks at everything that decides about the role.
func (n *Node) report(now time.Time) healthcheck.Report {
	// A process that was stopped has not looked for a while. The appends that
	// waited in its sockets meanwhile look new and are not.
	if !n.looked.IsZero() && now.Sub(n.looked) >= n.cfg.HeartbeatTimeout {
		n.resumed = now
	}
	n.looked = now
	out := healthcheck.Report{ID: n.cfg.ID, Role: healthcheck.RoleStarting}
	c := n.core.Load()
	if c == nil {
		out.Reason = n.phaseText()
		if n.lost.Load() {
			out.Role = healthcheck.RoleStopped
		}
		for _, m := range n.cfg.InitialCluster {
			out.Members = append(out.Members, healthcheck.Member{ID: m.ID, HTTP: m.HTTP, Health: m.Health, Raft: m.Raft, Voter: true})
		}
		return out
	}
	out.Identities = true
	// The state is read before the term: a leader that has just stepped down
	// then shows the newer term, in which it has applied nothing.
	state := c.raft.State()
	out.Term = c.raft.CurrentTerm()
	var voters []raft.ServerID
	out.Members, voters = n.members(c)
	out.Applied = c.fsm.index.Load()
	seen := n.contact.lastAppend()
	out.Commit = max(c.raft.CommitIndex(), seen.commit)
	if _, id := c.raft.LeaderWithID(); id != "" {
		out.Leader = healthcheck.Leader{ID: string(id), HTTP: httpOf(out.Members, string(id))}
	}
	stuck := c.store.watch.check()
	removed := n.removed.Load()
	switch {
	case n.closing.Load():
		out.Role, out.Reason = healthcheck.RoleStopped, "it is shutting down"
	case removed != nil:
		out.Role, out.Reason = healthcheck.RoleStopped, *removed
	case state == raft.Leader:
		out.Role = healthcheck.RoleLeader
		if stuck == nil {
			out.Primary, out.Reason = n.leads(c, voters, out.Term, now)
			out.Ready = out.Primary
		}
	case state == raft.Candidate:
		out.Role, out.Reason = healthcheck.RoleCandidate, "it asks for votes"
	case state == raft.Follower:
		out.Role = healthcheck.RoleFollower
		if !slices.Contains(voters, raft.ServerID(n.cfg.ID)) {
			out.Role = healthcheck.RoleLearner
		}
		if stuck == nil {
			n.follows(&out, seen, now)
		}
	default:
		out.Role, out.Reason = healthcheck.RoleStopped, "raft has stopped"
	}
	if stuck != nil && out.Role != healthcheck.RoleStopped {
		out.Reason = stuck.Error()
	}
	return out
}

// leads says whether a leader may say so to the world: it has applied something
// of its own term, hence everything before it (Raft, section 8), and a majority
// acknowledged something that it sent less than twice the lease timeout ago, or
// the heartbeat timeout where that is shorter: those who acknowledged it elect
// nobody else before that. Sending time counts: raft stamps receipt, so that a
// leader that was stopped and resumed believes acks that are long out of date.
func (n *Node) leads(c *core, voters []raft.ServerID, term uint64, now time.Time) (ok bool, reason string) {
	if c.fsm.term.Load() != term {
		return false, "it has not applied the entries from before its term yet"
	}
	patience := min(2*n.cfg.LeaseTimeout, n.cfg.HeartbeatTimeout)
	if sent := n.contact.quorumSent(voters, raft.ServerID(n.cfg.ID), term, now); now.Sub(sent) >= patience {
		return false, fmt.Sprintf("a majority has not acknowledged it for %v", patience)
	}
	return true, ""
}

// follows fills in what a follower says of itself.
func (n *Node) follows(out *healthcheck.Report, seen appendSeen, now time.Time) {
	switch {
	case out.Leader.ID == "":
		out.Reason = "it knows no leader"
		return
	case seen.term != out.Term || now.Sub(seen.at) >= n.cfg.HeartbeatTimeout:
		out.Reason = fmt.Sprintf("no append from leader %s in term %d reaches it", out.Leader.ID, out.Term)
		return
	case !n.fresh.known():
		out.Reason = "it has not caught up with the leader since it started"
		return
	case now.Sub(n.resumed) < n.cfg.HeartbeatTimeout/3:
		out.Reason = "it was stopped, and has just been resumed"
		return
	}
	out.Following = true
	out.Replica = out.ReplicaWithin(healthcheck.DefaultMaxLag)
	out.Ready = out.ReplicaWithin(n.cfg.MaxLag)
	if !out.Ready {
		out.Reason = fmt.Sprintf("it is %d entries behind", out.Lag())
	}
}

// members lists the cluster as the log has it, with the addresses that settings
// give, and the voters' ids.
func (n *Node) members(c *core) ([]healthcheck.Member, []raft.ServerID) {
	future := c.raft.GetConfiguration()
	if future.Error() != nil { // it never fails: raft answers from memory
		return nil, nil
	}
	var out []healthcheck.Member
	var voters []raft.ServerID
	for _, s := range future.Configuration().Servers {
		m, _ := n.cfg.member(string(s.ID))
		if m.Raft == "" {
			m.Raft = string(s.Address)
		}
		voter := s.Suffrage == raft.Voter
		out = append(out, healthcheck.Member{ID: m.ID, HTTP: m.HTTP, Health: m.Health, Raft: m.Raft, Voter: voter})
		if voter {
			voters = append(voters, s.ID)
		}
	}
	return out, voters
}

func httpOf(members []healthcheck.Member, id string) string {
	for _, m := range members {
		if m.ID == id {
			return m.HTTP
		}
	}
	return ""
}

// phaseText and setPhase: what a starting node is waiting for, for people.
func (n *Node) phaseText() string {
	if p := n.phase.Load(); p != nil {
		return *p
	}
	return ""
}

func (n *Node) setPhase(s string) {
	n.phase.Store(&s)
	n.Report()
}
