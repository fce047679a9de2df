package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// Fault is one way to hurt a cluster, again and again, each time as chance has it.
type Fault struct {
	Name        string
	What        string        // for people
	least, most time.Duration // from strike to heal
	// strike hurts a cluster that is whole, and says how. What it returns heals it.
	strike func(*harness.Cluster, *rand.Rand) (what string, heal func())
}

// Faults returns all of them.
func Faults() []Fault {
	return []Fault{
		{Name: "kill", What: "SIGKILL of the leader", least: 100 * time.Millisecond, most: 1500 * time.Millisecond, strike: kill},
		{Name: "pause", What: "SIGSTOP of the leader", least: 500 * time.Millisecond, most: 2 * time.Second, strike: pause},
		{Name: "two-way", What: "a node cut off, both ways", least: 500 * time.Millisecond, most: 3 * time.Second, strike: cutTwoWay},
		{Name: "one-way", What: "links cut in one direction", least: 500 * time.Millisecond, most: 3 * time.Second, strike: cutOneWay},
	}
}

// rest is the pause between two faults.
const leastRest, mostRest = 100 * time.Millisecond, 700 * time.Millisecond

// random gives the same choices for the same seed and number.
func random(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// between is a length of time by chance.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

func kill(c *harness.Cluster, _ *rand.Rand) (string, func()) {
	p := c.Leader()
	p.Kill()
	return "killed " + p.Name, p.Start
}

func pause(c *harness.Cluster, _ *rand.Rand) (string, func()) {
	p := c.Leader()
	p.Signal(syscall.SIGSTOP)
	return "stopped " + p.Name, func() { p.Signal(syscall.SIGCONT) }
}

// cutTwoWay cuts a node off from the others, and half of the time from the balancer
// too: one that the balancer still reaches can answer it from the past.
func cutTwoWay(c *harness.Cluster, r *rand.Rand) (string, func()) {
	leader, followers := sides(c)
	victim := leader
	if r.IntN(2) == 0 {
		victim = followers[r.IntN(len(followers))]
	}
	others := slices.DeleteFunc(append(followers, leader), func(name string) bool { return name == victim })
	if r.IntN(2) == 0 {
		c.Net.CutOff(victim)
		return fmt.Sprintf("cut %s (leader %s) off from everyone", victim, leader), c.Net.Heal
	}
	for _, o := range others {
		c.Net.Cut(victim, o)
		c.Net.Cut(o, victim)
	}
	return fmt.Sprintf("cut %s (leader %s) off from the other nodes", victim, leader), c.Net.Heal
}

// cutOneWay stops what one side says to the other, and not the answers' way.
func cutOneWay(c *harness.Cluster, r *rand.Rand) (string, func()) {
	leader, followers := sides(c)
	one := followers[r.IntN(len(followers)):][:1]
	ways := []struct{ from, to []string }{
		{[]string{leader}, one},
		{one, []string{leader}},
		{[]string{leader}, followers},
		{followers, []string{leader}},
		{[]string{leader}, []string{harness.Clients}},
		{[]string{harness.Clients}, []string{leader}},
	}
	way := ways[r.IntN(len(ways))]
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
