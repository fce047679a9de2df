package node

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
)

// Why a change of the members was refused.
var (
	ErrNotMember      = errors.New("it is not a member")
	ErrLeads          = errors.New("it is the leader")
	ErrLastVoter      = errors.New("it is the last voter")
	ErrNoMajority     = errors.New("the voters that would be left have no majority that runs")
	ErrChangeUnderWay = errors.New("another change of the members is under way")
	ErrIsVoter        = errors.New("it is a voter already")
	ErrOtherAddresses = errors.New("it has other addresses")
	ErrNotNamed       = errors.New("the initial cluster does not name it")
)

// Members lists the members as this node's log has them, committed or not.
func (n *Node) Members() healthcheck.Membership {
	r := n.Report()
	leader, _ := memberOf(r.Members, r.Leader.ID)
	out := healthcheck.Membership{Node: n.cfg.ID, Term: r.Term, Leader: leader}
	for _, m := range r.Members {
		state := healthcheck.MemberState{Member: m}
		if r.Role == healthcheck.RoleLeader {
			caughtUp := n.caughtUpWith(m.ID, r.Term)
			state.CaughtUp = &caughtUp
		}
		out.Members = append(out.Members, state)
	}
	return out
}

// caughtUpWith says, on a leader, whether a member of late had all but a few
// entries of the log.
func (n *Node) caughtUpWith(id string, term uint64) bool {
	c := n.core.Load()
	if c == nil || id == n.cfg.ID {
		return c != nil
	}
	index, sent := n.contact.matched(raft.ServerID(id), term)
	return index+n.cfg.MaxLag >= c.raft.LastIndex() && time.Since(sent) < n.cfg.HeartbeatTimeout
}

// matched returns up to which index a member's log is this leader's, and when the
// append was sent that showed it.
func (c *contact) matched(peer raft.ServerID, term uint64) (index uint64, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.acked[peer]; a.term == term {
		return a.index, a.appended
	}
	return 0, time.Time{}
}

// forget drops what a peer has acknowledged: with its folder it loses the log that
// it had, and the term may be the same when it is back.
func (c *contact) forget(peer raft.ServerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.acked, peer)
}

func memberOf(members []healthcheck.Member, id string) (healthcheck.Member, bool) {
	for _, m := range members {
		if m.ID == id {
			return m, true
		}
	}
	return healthcheck.Member{}, false
}

func votersAmong(members []healthcheck.Member) []healthcheck.Member {
	var out []healthcheck.Member
	for _, m := range members {
		if m.Voter {
			out = append(out, m)
		}
	}
	return out
}

func idsOf(members []healthcheck.Member) string {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return strings.Join(ids, ", ")
}

// mayRemove says why a member must not be removed by the leader self, or nil.
func mayRemove(id, self string, members []healthcheck.Member) error {
	_, there := memberOf(members, id)
	switch {
	case !there:
		return fmt.Errorf("%w: the members are %s", ErrNotMember, idsOf(members))
	case id == self && len(votersAmong(members)) == 1:
		return fmt.Errorf("%w: the cluster would end with it", ErrLastVoter)
	case id == self:
		return fmt.Errorf("%w: stop it, so that another node leads, and remove it there", ErrLeads)
	}
	return nil
}

// mayLose says whether the voters that are left without a member can go on, given
// why some of them cannot be counted on. Below a majority the change itself could
// not be committed, and no write after it.
func mayLose(id string, members []healthcheck.Member, silent map[string]string) error {
	var rest, why []string
	for _, m := range votersAmong(members) {
		if m.ID == id {
			continue
		}
		rest = append(rest, m.ID)
		if reason, is := silent[m.ID]; is {
			why = append(why, m.ID+": "+reason)
		}
	}
	if running := len(rest) - len(why); running < quorum(len(rest)) {
		return fmt.Errorf("%w: without %s there are %s, of which %d must run and %d does (%s)",
			ErrNoMajority, id, strings.Join(rest, ", "), quorum(len(rest)), running, strings.Join(why, "; "))
	}
	return nil
}

// mayAdd says whether a node may be added as a learner, and whether it is one.
// Settings are where the nodes find each other's addresses, so that nobody can be
// added whom the initial cluster does not name.
func mayAdd(asked, named Member, members []healthcheck.Member) (already bool, err error) {
	if named.Raft == "" {
		return false, fmt.Errorf("%w: add %s to the initial cluster of every node first", ErrNotNamed, asked.ID)
	}
	for _, f := range []struct{ what, asked, named string }{
		{"raft", asked.Raft, named.Raft}, {"http", asked.HTTP, named.HTTP}, {"health", asked.Health, named.Health},
	} {
		if f.asked != "" && f.asked != f.named {
			return false, fmt.Errorf("%w: its %s address is %s in the initial cluster, not %s", ErrOtherAddresses, f.what, f.named, f.asked)
		}
	}
	for _, m := range members {
		switch {
		case m.ID == asked.ID && m.Voter:
			return false, ErrIsVoter
		case m.ID == asked.ID:
			already = true
		case m.Raft == named.Raft:
			return false, fmt.Errorf("%w: %s is the raft address of %s", ErrOtherAddresses, m.Raft, m.ID)
		}
	}
	return already, nil
}
