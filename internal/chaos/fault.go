package chaos

import (
	"math/rand/v2"
	"strings"
	"time"
)

// Fault is a nemesis: one way to hurt a cluster, again and again, each time as chance
// has it.
type Fault struct {
	Name        string
	What        string        // for people
	least, most time.Duration // from strike to heal
	// faulty says that it takes programs in which faults can be caused.
	faulty bool
	// strike hurts the cluster, whole or not, and says how. What it returns puts
	// right what it has hurt, and nothing that another nemesis has.
	strike func(*field, *dice) (what string, heal func())
}

const ms = time.Millisecond

// Faults returns all of them.
func Faults() []Fault {
	return []Fault{
		{Name: "kill", What: "SIGKILL of the leader", least: 100 * ms, most: 1500 * ms, strike: kill},
		{Name: "kill-any", What: "SIGKILL of any node", least: 100 * ms, most: 1500 * ms, strike: killAny},
		{Name: "kill-minority", What: "SIGKILL of as many nodes as may fail, at once", least: 100 * ms, most: 1500 * ms, strike: killMinority},
		{Name: "kill-all", What: "SIGKILL of every node, at once", least: 100 * ms, most: 1500 * ms, strike: killAll},
		{Name: "pause", What: "SIGSTOP of a node for 0.5 to 5 s", least: 500 * ms, most: 5000 * ms, strike: pause},
		{Name: "restart", What: "SIGTERM and start of every node, one after the other", least: 10 * ms, most: 100 * ms, strike: restart},
		{Name: "two-way", What: "a node cut off from all others, or from the nodes; of five, also two of them together", least: 500 * ms, most: 3000 * ms, strike: cutTwoWay},
		{Name: "one-way", What: "what a node says does not arrive, while it is spoken to, or the other way round", least: 500 * ms, most: 3000 * ms, strike: cutOneWay},
		{Name: "leader-alone", What: "the leader cut off from the other nodes, in reach of clients", least: 500 * ms, most: 3000 * ms, strike: cutLeader},
		{Name: "ring", What: "each node hears two neighbours only, of three one or two", least: 500 * ms, most: 3000 * ms, strike: cutRing},
		{Name: "lb-cut", What: "the balancer cut off from some nodes", least: 500 * ms, most: 3000 * ms, strike: cutBalancer},
		{Name: "slow", What: "links of a node, or of all, that delay", least: 1000 * ms, most: 4000 * ms, strike: slow},
		{Name: "lossy", What: "links of a node, or of all, that stall and reset now and then", least: 1000 * ms, most: 4000 * ms, strike: lossy},
		{Name: "disk-slow", What: "each write to a log takes up to 100 ms longer", least: 1000 * ms, most: 4000 * ms, faulty: true, strike: diskSlow},
		{Name: "disk-hang", What: "a log that takes no write for 0.5 to 4 s", least: 500 * ms, most: 4000 * ms, faulty: true, strike: diskHang},
		{Name: "disk-error", What: "a log that cannot be written: the node ends", least: 100 * ms, most: 1500 * ms, faulty: true, strike: diskError},
		{Name: "disk-full", What: "a log that has no room: the node ends", least: 100 * ms, most: 1500 * ms, faulty: true, strike: diskFull},
		{Name: "corrupt", What: "a file of a stopped node truncated or a bit of it flipped, put back when it was tried", least: 10 * ms, most: 100 * ms, strike: corrupt},
		{Name: "old-copy", What: "a node restored from a copy of its folder that is a run old, which it must notice", least: 10 * ms, most: 100 * ms, strike: oldCopy},
		{Name: "clock", What: "wall clocks that jump by up to a year, at one node or at all", least: 500 * ms, most: 3000 * ms, faulty: true, strike: jump},
	}
}

// Names are what faults are called, joined: "kill", "kill+slow".
func Names(faults []Fault) string {
	var names []string
	for _, f := range faults {
		names = append(names, f.Name)
	}
	return strings.Join(names, "+")
}

// rest is the pause between two faults.
const leastRest, mostRest = 100 * ms, 700 * ms

// dice decide what is left to chance about faults.
type dice struct {
	*rand.Rand
	deck []int
	turn int
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

// nemesisNumber is that of the choices of a round's first, second, … nemesis; its
// clients count from 1.
func nemesisNumber(i int) uint64 { return uint64(i) << 32 }

// between is a length of time by chance.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}
