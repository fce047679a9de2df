package launcher

import (
	"os"
	"sync"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

// askTimeout bounds what one node may delay a status.
const askTimeout = 300 * time.Millisecond

// status asks every node that runs, all at once.
func (c *cluster) status() Status {
	s := Status{Dir: c.plan.Dir, Temporary: c.temporary, Started: c.began, Ready: c.isReady(), PID: os.Getpid()}
	s.Nodes = make([]NodeStatus, len(c.plan.Nodes))
	var wg sync.WaitGroup
	for i, n := range c.plan.Nodes {
		one := NodeStatus{ProcessStatus: c.children[i].state(), HTTP: n.HTTP, Health: n.Health, Raft: n.Raft}
		if one.State != StateRunning {
			s.Nodes[i] = one
			continue
		}
		wg.Go(func() {
			ask(&one)
			s.Nodes[i] = one
		})
	}
	wg.Wait()
	if f := c.plan.Front; f != nil {
		s.Balancer = &FrontStatus{ProcessStatus: c.children[len(c.plan.Nodes)].state(), Kind: f.Kind, HTTP: f.HTTP, Admin: f.Admin}
	}
	s.At = time.Now()
	s.summarize()
	return s
}

// ask fills in what the node says of itself.
func ask(n *NodeStatus) {
	checks := healthcheck.DefaultChecks()
	checks.Timeout = askTimeout
	p := healthcheck.NewProber(n.Health, checks)
	defer p.Close()
	r, err := p.Role("", 0)
	if err != nil {
		n.Reason = "does not answer its health port"
		return
	}
	n.Role, n.Term, n.Primary, n.Ready = string(r.Role), r.Term, r.Primary, r.Ready
	n.Applied, n.Lag, n.Reason = r.Applied, r.Lag(), r.Reason
}
