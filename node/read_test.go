package node_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// found is what a read gave.
type found struct {
	value string
	err   error
}

func (c *cluster) get(i int, key string, o node.ReadOptions) found {
	return c.getAt(c.nodes[i], key, o)
}

func (c *cluster) getAt(n *node.Node, key string, o node.ReadOptions) found {
	v, err := n.Get(c.t.Context(), []byte(key), o)
	if err == nil && !v.Found {
		return found{err: errors.New("not found")}
	}
	return found{string(v.Value), err}
}

// ask is get, beside the test.
func (c *cluster) ask(i int, key string, o node.ReadOptions) <-chan found {
	n, out := c.nodes[i], make(chan found, 1) // who stops the node meanwhile takes it out of c.nodes
	go func() { out <- c.getAt(n, key, o) }()
	return out
}

func (c *cluster) put(i int, key, value string) {
	c.t.Helper()
	if _, err := c.nodes[i].Put(c.t.Context(), []byte(key), []byte(value), node.Condition{}); err != nil {
		c.t.Fatalf("put at %s: %v", c.configs[i].ID, err)
	}
}

// make has a node lead, whose cluster may have timeouts of many seconds.
func (c *cluster) make(leader int) {
	c.t.Helper()
	c.raise(leader)
	c.leader()
}

// raise is make where the others may not hear of it.
func (c *cluster) raise(leader int) {
	c.t.Helper()
	var asked time.Time
	harness.Eventually(c.t, c.configs[leader].ID+" to lead", func() error {
		r := c.nodes[leader].Report()
		if r.Primary {
			return nil
		}
		if r.Role != healthcheck.RoleStarting && r.Role != healthcheck.RoleLeader && time.Since(asked) > 3*time.Second { // sooner, and a busy machine would end one election with the next
			asked = time.Now()
			c.nodes[leader].TimeoutNow()
		}
		return fmt.Errorf("%+v", r)
	})
}

var linearizable = node.ReadOptions{Level: node.Linearizable}

// Every node sees at once what was acknowledged, and many reads share a round.
func TestLinearizableReads(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	for i := range 50 {
		value := fmt.Sprint(i)
		c.put(l, "a", value)
		for j := range c.nodes {
			if got := c.get(j, "a", linearizable); got.value != value || got.err != nil {
				t.Fatalf("at %s: %+v, want %s", c.configs[j].ID, got, value)
			}
		}
	}
	before := c.nodes[l].Rounds()
	var reads []<-chan found
	const many = 2000
	for i := range many {
		reads = append(reads, c.ask(i%3, "a", linearizable))
	}
	for _, r := range reads {
		if got := <-r; got.value != "49" {
			t.Fatalf("%q, %v", got.value, got.err)
		}
	}
	if rounds := c.nodes[l].Rounds() - before; rounds > many/2 {
		t.Errorf("%d rounds for %d reads at once", rounds, many)
	}
}

// A leader of old whose last answer is held back on the way must not take it for
// a sign that it still leads.
func TestLateAnswerConfirmsNothing(t *testing.T) {
	t.Parallel()
	for _, trusting := range []bool{false, true} {
		t.Run(fmt.Sprint("VerifyLeader=", trusting), func(t *testing.T) {
			t.Parallel()
			if !trusting {
				if got := lateAnswer(t, false); got.value != "new" {
					t.Errorf("%q, %v, after a new leader had acknowledged a newer value", got.value, got.err)
				}
				return
			}
			const tries = 5 // an answer over another connection may tell the old leader first
			for range tries {
				if got := lateAnswer(t, true); got.value == "old" {
					return
				}
			}
			t.Errorf("not fooled in %d tries: the trap does not work, and shows nothing of the other round", tries)
		})
	}
}

func lateAnswer(t *testing.T, trusting bool) found {
	c := startCluster(t, 3)
	relays := c.interpose()
	for i := range c.nodes {
		c.stop(i)
		cfg := &c.configs[i] // nothing gives up while the answers are held back
		timeouts(cfg, 10*time.Second)
		cfg.RPCTimeout = 20 * time.Second
	}
	for i := range c.nodes {
		c.start(i)
	}
	const a, b, other = 0, 1, 2
	c.make(a)
	c.put(a, "k", "old")
	if got := c.get(a, "k", linearizable); got.value != "old" {
		t.Fatalf("%+v", got)
	}
	release := relays[a][b].hold()
	defer release()
	// Of appends and of a heartbeat: one that is sent later brings word of the new leader,
	// and that may come first.
	harness.Eventually(t, "answers to be held back on both connections", func() error {
		if n := relays[a][b].holds(); n < 2 {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
	heal := []func(){relays[a][other].drop(), relays[b][a].drop(), relays[other][a].drop()}
	defer func() {
		for _, f := range heal {
			f()
		}
	}()
	c.raise(b)
	c.put(b, "k", "new")
	if trusting {
		called := c.nodes[a].TrustVerifyLeader()
		read := c.ask(a, "k", linearizable)
		<-called
		release()
		return <-read
	}
	read := c.ask(a, "k", linearizable)
	harness.Eventually(t, "the round to begin", func() error {
		if c.nodes[a].Rounds() < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	release()
	for _, f := range heal {
		f()
	}
	return <-read
}

// A follower may have applied, and served, what its leader has committed and not
// applied: the leader's applied index is too low for a read elsewhere.
func TestLeaderThatAppliesLate(t *testing.T) {
	t.Parallel()
	for _, trusting := range []bool{false, true} {
		t.Run(fmt.Sprint("applied=", trusting), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 3, steady)
			l := c.leader()
			ahead, behind := c.others(l)[0], c.others(l)[1]
			c.put(l, "k", "old")
			for i := range c.nodes {
				if got := c.get(i, "k", linearizable); got.value != "old" {
					t.Fatalf("%+v", got)
				}
			}
			if trusting {
				c.nodes[l].TrustAppliedIndex()
			}
			releases := []func(){c.nodes[l].HoldApply(), c.nodes[behind].HoldApply()}
			defer func() {
				for _, f := range releases {
					f()
				}
			}()
			n, put := c.nodes[l], make(chan error, 1)
			go func() {
				_, err := n.Put(t.Context(), []byte("k"), []byte("new"), node.Condition{})
				put <- err
			}()
			harness.Eventually(t, "one follower to serve it", func() error {
				if got := c.get(ahead, "k", linearizable); got.value != "new" {
					return fmt.Errorf("%+v", got)
				}
				return nil
			})
			read := c.ask(behind, "k", linearizable)
			if trusting {
				if got := <-read; got.value != "old" {
					t.Errorf("%+v: the trap does not work", got)
				}
				return
			}
			harness.Eventually(t, "the read to wait", func() error {
				if !c.nodes[behind].Waits() {
					return errors.New("it does not")
				}
				return nil
			})
			for _, f := range releases {
				f()
			}
			if got := <-read; got.value != "new" {
				t.Errorf("%+v, after another node had served the new value", got)
			}
			if err := <-put; err != nil {
				t.Error(err)
			}
		})
	}
}

// Where the last committed entry is a change of the configuration, which the state
// machine executes nothing of, reads do not wait for the next one.
func TestReadAfterChangeOfMembers(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady, func(cfg *node.Config) { cfg.Learner = true })
	l := c.leader()
	c.put(l, "a", "v")
	if err := c.nodes[l].Demote(c.configs[c.others(l)[0]].ID); err != nil {
		t.Fatal(err)
	}
	for i := range c.nodes {
		if got := c.get(i, "a", linearizable); got.value != "v" {
			t.Errorf("at %s: %+v", c.configs[i].ID, got)
		}
	}
}

// A node that is cut off refuses what it cannot promise, and says why.
func TestReadsOfANodeThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick, func(cfg *node.Config) { cfg.ReadTimeout = 300 * time.Millisecond })
	relays := c.relays()
	f := c.others(c.write("a", "v"))[0]
	bounded := node.ReadOptions{Level: node.Eventual, MaxStaleness: 100 * time.Millisecond}
	harness.Eventually(t, "a linearizable read and one of bounded staleness", func() error {
		for _, o := range []node.ReadOptions{linearizable, bounded} { // a bounded read alone may be of before the write
			if got := c.get(f, "a", o); got.err != nil {
				return got.err
			}
		}
		return nil
	})
	for _, o := range c.others(f) {
		defer relays[f][o].drop()()
		defer relays[o][f].drop()()
	}
	harness.Eventually(t, "its state to be too old", func() error {
		if got := c.get(f, "a", bounded); !errors.Is(got.err, node.ErrTooStale) {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	if got := c.get(f, "a", linearizable); !errors.Is(got.err, node.ErrNoLeader) {
		t.Errorf("linearizable: %+v", got)
	}
	if got := c.get(f, "a", node.ReadOptions{Level: node.Eventual}); got.value != "v" {
		t.Errorf("eventual: %+v", got)
	}
	if a := c.do("GET", c.api(f, "/kv/a?consistency=eventual&max_staleness=1ms"), ""); a.status != 503 || a.code() != "too_stale" {
		t.Errorf("%+v", a)
	}
	if a := c.do("GET", c.api(f, "/kv/a"), ""); a.status != 503 || a.code() != "no_leader" {
		t.Errorf("the default: %+v", a)
	}
}

func TestWeakerReadsCanBeForbidden(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.ReadLevel, cfg.WeakerReads = node.Lease, false })
	c.put(0, "a", "v")
	for _, s := range []struct {
		query, header string
		status        int
	}{
		{"", "", 200},
		{"?consistency=linearizable", "", 200},
		{"?consistency=lease", "", 200},
		{"?consistency=eventual", "", 403},
		{"", "Dengine-Consistency: eventual", 403},
		{"?consistency=linearizable", "Dengine-Consistency: eventual", 200},
		{"?consistency=eventual", "Dengine-Consistency: linearizable", 403},
		{"?max_staleness=-1s", "", 400},
		{"?max_staleness=0s", "", 400},
		{"?max_staleness=soon", "", 400},
		{"", "Dengine-Max-Staleness: soon", 400},
		{"?max_staleness=1s", "", 200},
	} {
		headers := []string{}
		if s.header != "" {
			headers = append(headers, s.header)
		}
		if a := c.do("GET", c.api(0, "/kv/a"+s.query), "", headers...); a.status != s.status {
			t.Errorf("%s %s: %+v, want %d", s.query, s.header, a, s.status)
		}
	}
}

// A node that starts has the state of an earlier day, and knows of no commit since:
// it must not take that for being up to date.
func TestNodeThatStartsIsNotReady(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	f := c.others(l)[0]
	for i := range 5 {
		c.stop(f)
		key := fmt.Sprint("k", i)
		c.put(l, key, "v")
		c.start(f)
		for end := time.Now().Add(harness.Patience); !c.nodes[f].Report().Ready; { // looks as often as it can
			if time.Now().After(end) {
				t.Fatalf("not ready: %+v", c.nodes[f].Report())
			}
		}
		if got := c.get(f, key, node.ReadOptions{Level: node.Eventual}); got.value != "v" {
			t.Errorf("ready, and %s is not there: %v", key, got.err)
		}
	}
}
