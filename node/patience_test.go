package node_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// A leader counts on it that a voter which accepts a heartbeat votes for nobody else
// for a while. raft answers heartbeats beside its main loop, also while that writes
// down a vote.
func TestNoHeartbeatIsAcceptedDuringAVote(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable)
	term := c.nodes[c.leader()].Report().Term
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes { // nobody leads, and nobody asks for votes for long
		c.configs[i].CrashDetection = false
		c.configs[i].HeartbeatTimeout, c.configs[i].ElectionTimeout = time.Minute, time.Minute
		c.configs[i].DiskTimeout, c.configs[i].RPCTimeout = time.Minute, time.Minute
		c.start(i)
	}
	leader, voter, candidate := c.nodes[0], c.nodes[1], c.nodes[2]
	for i := range c.nodes {
		term = max(term, c.nodes[i].Report().Term)
	}
	release := sync.OnceFunc(voter.HangLog())
	defer release()
	granted := make(chan bool, 1)
	go func() {
		ok, _ := candidate.SendVote(c.configs[1].ID, term+1)
		granted <- ok
	}()
	harness.Eventually(t, "the vote to be under way", func() error {
		if !voter.Busy() {
			return errors.New("not yet")
		}
		return nil
	})
	accepted := make(chan bool, 1)
	go func() {
		ok, _ := leader.SendHeartbeat(c.configs[1].ID, term)
		accepted <- ok
	}()
	never(t, 200*time.Millisecond, "a heartbeat that is accepted during a vote", func() bool {
		select {
		case ok := <-accepted:
			return ok
		default:
			return false
		}
	})
	release()
	if !<-granted {
		t.Error("the vote was not given")
	}
}

// A leader that was stopped while it handed over may send its TimeoutNow when
// another one leads, with a lease: it must not be taken.
func TestTimeoutNowOfAnotherThanTheLeader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable, func(cfg *node.Config) { cfg.CrashDetection = false })
	l := c.leader()
	term := c.nodes[l].Report().Term
	heir, former := c.others(l)[0], c.others(l)[1]
	if err := c.nodes[former].SendTimeoutNow(c.configs[heir].ID); err == nil {
		t.Error("it is taken")
	}
	never(t, 500*time.Millisecond, "another leader", func() bool {
		return c.nodes[heir].Report().Term != term || c.nodes[heir].Report().Role != "follower"
	})
}
