package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// WaitSame waits until all running nodes have the same state at the same index,
// byte for byte.
func (c *Cluster) WaitSame() {
	c.T.Helper()
	c.Leader() // it has applied all that was acknowledged; followers alone may be equal, and behind
	Eventually(c.T, "the same state on every node", func() error {
		first := ""
		for _, p := range c.Nodes {
			if !p.Running() {
				continue
			}
			a, err := c.Try(http.MethodGet, "http://"+p.Health+"/status?hash=true", "")
			if err != nil {
				return err
			}
			var s struct {
				StateHash string `json:"state_hash"`
				Applied   uint64
			}
			if err := json.Unmarshal([]byte(a.Body), &s); err != nil {
				return err
			}
			now := fmt.Sprintf("%s at %d", s.StateHash, s.Applied)
			if first == "" {
				first = now
			}
			if now != first {
				return fmt.Errorf("%s has %s, others %s", p.Name, now, first)
			}
		}
		return nil
	})
}

// WaitCaughtUp waits until a node has applied all that the leader had committed
// when the wait began.
func (c *Cluster) WaitCaughtUp(p *Process) {
	c.T.Helper()
	leader, err := c.Role(c.Leader())
	if err != nil {
		c.T.Fatal(err)
	}
	Eventually(c.T, fmt.Sprintf("%s to catch up to %d", p.Name, leader.Commit), func() error {
		r, err := c.Role(p)
		if err == nil && (!r.Ready || r.Applied < leader.Commit) {
			err = fmt.Errorf("applied %d, ready %t: %s", r.Applied, r.Ready, r.Reason)
		}
		return err
	})
}
