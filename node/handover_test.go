package node_test

import "testing"

// A node that takes leadership and cannot use it, since its disk hangs, is not
// waited for: the next one gets it. Which of the two is asked first is chance,
// since the one that hangs has nothing to write and seems well.
func TestHandOverFallsBack(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable)
	for range 4 {
		l := c.leader()
		before := c.nodes[l].Report().Term
		hung, good := c.others(l)[0], c.others(l)[1]
		release := c.nodes[hung].HangLog()
		c.stop(l)
		// With one node gone and one hung no election can be won: what the other has
		// of a newer term it got from the leader.
		if r := c.nodes[good].Report(); r.Term <= before {
			t.Errorf("%s did not get leadership: %+v", r.ID, r)
		}
		release()
		c.start(l)
	}
	c.leader()
	c.sameState()
}
