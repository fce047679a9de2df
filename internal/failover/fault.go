package failover

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// Fault is one way to hurt a cluster, and to heal it.
type Fault struct {
	Name     string
	What     string // for people
	Attempts int    // by default
	Limit    Limit
	Rivals   bool            // measured through every front, not only dengine's own
	Extra    bool            // measured only when asked for by name
	Needs    harness.Options // of the cluster
	Lasts    time.Duration   // from Strike to Heal

	Victim func(*harness.Cluster) *harness.Process // nil: none in particular
	Strike func(*harness.Cluster, *harness.Process)
	Heal   func(*harness.Cluster, *harness.Process) // returns when the cluster is whole again
}

// Limit is how long the stall may be; 0 is no limit.
type Limit struct {
	P50, Max     time.Duration
	AboveControl time.Duration // of the greatest stall, above that of the control
}

// Control is what the fault is called that is none.
const Control = "control, no fault"

// down is how long a process that ended stays away.
const down = time.Second

// Faults returns all of them, the control first.
func Faults() []Fault {
	return append([]Fault{
		{
			Name: "none", What: Control, Attempts: 20, Rivals: true, Lasts: down,
			Strike: func(*harness.Cluster, *harness.Process) {}, Heal: func(*harness.Cluster, *harness.Process) {},
		},
		{
			Name: "kill-leader", What: "SIGKILL of the leader", Attempts: 50, Rivals: true, Lasts: down,
			Limit:  Limit{P50: 40 * time.Millisecond, Max: 250 * time.Millisecond},
			Victim: (*harness.Cluster).Leader, Strike: kill, Heal: restart,
		},
		{
			Name: "term-leader", What: "SIGTERM of the leader", Attempts: 50, Rivals: true, Lasts: down,
			Limit:  Limit{P50: 20 * time.Millisecond, Max: 150 * time.Millisecond},
			Victim: (*harness.Cluster).Leader, Strike: terminate, Heal: restart,
		},
		{
			Name: "stop-leader", What: "SIGSTOP of the leader, SIGCONT after 10 s", Attempts: 20, Rivals: true, Lasts: 10 * time.Second,
			Limit:  Limit{P50: time.Second, Max: 2 * time.Second},
			Victim: (*harness.Cluster).Leader, Strike: signal(syscall.SIGSTOP), Heal: resume,
		},
		{
			Name: "kill-follower", What: "SIGKILL of a follower", Attempts: 20, Rivals: true, Lasts: down,
			Limit:  Limit{AboveControl: 50 * time.Millisecond},
			Victim: follower, Strike: kill, Heal: restart,
		},
		{
			Name: "rolling", What: "every node restarted, one after the other", Attempts: 10,
			Limit:  Limit{Max: 150 * time.Millisecond},
			Strike: func(*harness.Cluster, *harness.Process) {}, Heal: restartAll,
		},
		{
			Name: "cut-leader", What: "leader cut off from followers and clients for 5 s", Attempts: 10, Lasts: 5 * time.Second,
			Limit: Limit{P50: time.Second, Max: 3 * time.Second}, Needs: harness.Options{Relays: true},
			Victim: (*harness.Cluster).Leader, Strike: cutOff, Heal: reconnect,
		},
		{
			Name: "disk-error", What: "leader's log disk returns errors", Attempts: 10, Lasts: down,
			Limit: Limit{P50: 100 * time.Millisecond, Max: time.Second}, Needs: harness.Options{Faults: true},
			Victim: (*harness.Cluster).Leader, Strike: diskError, Heal: replaceDisk,
		},
		{
			Name: "disk-hang", What: "leader's log disk hangs, answers after 10 s", Attempts: 10, Lasts: 10 * time.Second,
			Limit: Limit{P50: 2 * time.Second, Max: 4 * time.Second}, Needs: harness.Options{Faults: true},
			Victim: (*harness.Cluster).Leader, Strike: diskHang, Heal: diskAnswers,
		},
	}, guards()...)
}

// guards show what a part of the whole is worth, by leaving it out.
func guards() []Fault {
	return []Fault{
		{
			Name: "kill-leader-undetected", What: "SIGKILL of the leader, crash detection off", Attempts: 10, Lasts: down,
			Needs:  harness.Options{NodeArgs: []string{"--crash-detection=false"}},
			Victim: (*harness.Cluster).Leader, Strike: kill, Heal: restart,
		},
		{
			Name: "mute-leader", What: "SIGKILL of a leader that has applied writes and not answered them", Attempts: 10, Lasts: down, Extra: true,
			Needs:  harness.Options{Relays: true, Faults: true},
			Victim: (*harness.Cluster).Leader, Strike: muteAndKill, Heal: restart,
		},
	}
}

// Find returns the fault of a name.
func Find(name string) (Fault, error) {
	var names []string
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("no fault is called %q: there are %v", name, names)
}

func follower(c *harness.Cluster) *harness.Process { return c.Followers()[0] }

func kill(_ *harness.Cluster, p *harness.Process) { p.Kill() }

func terminate(c *harness.Cluster, p *harness.Process) {
	if code := p.Stop(); code != 0 {
		c.T.Errorf("%s exits %d on SIGTERM", p.Name, code)
	}
}

func signal(s syscall.Signal) func(*harness.Cluster, *harness.Process) {
	return func(_ *harness.Cluster, p *harness.Process) { p.Signal(s) }
}

func resume(c *harness.Cluster, p *harness.Process) {
	p.Signal(syscall.SIGCONT)
	whole(c, p)
}

func restart(c *harness.Cluster, p *harness.Process) {
	if c.Net != nil {
		c.Net.Heal()
	}
	p.Start()
	whole(c, p)
}

// whole waits until everyone serves, p with all that was written meanwhile.
func whole(c *harness.Cluster, p *harness.Process) {
	c.WaitReady()
	c.WaitCaughtUp(p)
}

func restartAll(c *harness.Cluster, _ *harness.Process) {
	for _, p := range c.Nodes {
		terminate(c, p)
		restart(c, p)
	}
}

func cutOff(c *harness.Cluster, p *harness.Process) { c.Net.CutOff(p.Name) }

func reconnect(c *harness.Cluster, p *harness.Process) {
	deposed(c, p)
	c.Net.Heal()
	whole(c, p)
}

// deposed waits until another node leads: a fault that has no effect would
// measure as harmless.
func deposed(c *harness.Cluster, p *harness.Process) {
	harness.Eventually(c.T, "another leader than "+p.Name, func() error {
		if c.Leader() == p {
			return errors.New("it still leads, as if there were no fault")
		}
		return nil
	})
}

// diskError: the node must end by itself, and say so by its exit code.
func diskError(c *harness.Cluster, p *harness.Process) {
	p.Fault("error")
	harness.Eventually(c.T, p.Name+" to end, since its disk fails", func() error {
		if p.Running() {
			return errors.New("it still runs")
		}
		return nil
	})
	if code := p.Wait(); code != 1 {
		c.T.Errorf("%s exits %d when its disk fails, want 1", p.Name, code)
	}
}

func replaceDisk(c *harness.Cluster, p *harness.Process) {
	p.Fault("")
	restart(c, p)
}

func diskHang(_ *harness.Cluster, p *harness.Process) { p.Fault("hang") }

func diskAnswers(c *harness.Cluster, p *harness.Process) {
	deposed(c, p)
	p.Fault("")
	whole(c, p)
}

// muteAndKill lets the leader apply writes whose answers do not arrive, so that
// a front which sends them again meets a node that has them.
func muteAndKill(c *harness.Cluster, p *harness.Process) {
	c.Net.Cut(p.Name, harness.Clients)
	before, err := c.Role(p)
	if err != nil {
		c.T.Fatal(err)
	}
	harness.Eventually(c.T, "writes that are not answered", func() error {
		now, err := c.Role(p)
		if err == nil && now.Applied < before.Applied+3 {
			err = fmt.Errorf("applied %d, was at %d", now.Applied, before.Applied)
		}
		return err
	})
	p.Kill()
}
