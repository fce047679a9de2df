package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// Fault is one way to hurt a cluster, again and again, each time as chance has it.
type Fault struct {
	Name        string
	least, most time.Duration // from strike to heal
	// strike hurts a cluster that is whole, and says how. What it returns heals it.
	strike func(*harness.Cluster, *dice) (what string, heal func())
}

// Faults returns all of them.
func Faults() []Fault {
	return []Fault{
		{Name: "kill", least: 100 * time.Millisecond, most: 1500 * time.Millisecond, strike: kill},
		{Name: "pause", least: 500 * time.Millisecond, most: 2 * time.Second, strike: pause},
		{Name: "two-way", least: 500 * time.Millisecond, most: 3 * time.Second, strike: cutTwoWay},
		{Name: "one-way", least: 500 * time.Millisecond, most: 3 * time.Second, strike: cutOneWay},
	}
}

// rest is the pause between two faults.
const leastRest, mostRest = 100 * time.Millisecond, 700 * time.Millisecond

// dice decide what is left to chance about faults.
type dice struct {
	*rand.Rand
	deck []int
}

// deal gives one of n choices; all of them come before one comes again.
func (d *dice) deal(n int) int {
	if len(d.deck) == 0 {
		d.deck = d.Perm(n)
	}
	card := d.deck[0]
	d.deck = d.deck[1:]
	return card
}

// random gives the same choices for the same seed and number.
func random(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// between is a length of time by chance.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// kill ends the leader with SIGKILL.
func kill(c *harness.Cluster, _ *dice) (string, func()) {
	p := c.Leader()
	p.Kill()
	return "killed " + p.Name, p.Start
}

// pause stops the leader, which then goes on where it was, as if it still led.
func pause(c *harness.Cluster, _ *dice) (string, func()) {
	p := c.Leader()
	p.Signal(syscall.SIGSTOP)
	return "stopped " + p.Name, func() { p.Signal(syscall.SIGCONT) }
}

// cutTwoWay cuts the leader or a follower off from the other nodes, or from the
// balancer too: a node that the balancer still reaches can answer it from the past.
func cutTwoWay(c *harness.Cluster, d *dice) (string, func()) {
	leader, followers := sides(c)
	way := d.deal(4)
	victim := leader
	if way%2 == 1 {
		victim = followers[d.IntN(len(followers))]
	}
	if way < 2 {
		c.Net.CutOff(victim)
		return fmt.Sprintf("cut %s (leader %s) off from everyone", victim, leader), c.Net.Heal
	}
	for _, p := range c.Nodes {
		if p.Name != victim {
			c.Net.Cut(victim, p.Name)
			c.Net.Cut(p.Name, victim)
		}
	}
	return fmt.Sprintf("cut %s (leader %s) off from the other nodes", victim, leader), c.Net.Heal
}

// cutOneWay stops what one side says to the other, while the other side is heard.
func cutOneWay(c *harness.Cluster, d *dice) (string, func()) {
	leader, followers := sides(c)
	one := followers[d.IntN(len(followers)):][:1]
	ways := []struct{ from, to []string }{
		{[]string{leader}, one},
		{one, []string{leader}},
		{[]string{leader}, followers},
		{followers, []string{leader}},
		{[]string{leader}, []string{harness.Clients}},
		{[]string{harness.Clients}, []string{leader}},
	}
	way := ways[d.deal(len(ways))]
	for _, from := range way.from {
		for _, to := range way.to {
			c.Net.Cut(from, to)
		}
	}
	return fmt.Sprintf("cut %s to %s (leader %s)", strings.Join(way.from, "+"), strings.Join(way.to, "+"), leader), c.Net.Heal
}

// sides are the names of the leader and of those that follow it.
func sides(c *harness.Cluster) (leader string, followers []string) {
	leader = c.Leader().Name
	for _, p := range c.Nodes {
		if p.Name != leader {
			followers = append(followers, p.Name)
		}
	}
	return leader, followers
}
