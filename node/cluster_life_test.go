package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

func TestClusterSizes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, n)
			if w := c.do("PUT", c.api(c.leader(), "/kv/a"), "v"); w.status != 200 {
				t.Errorf("%+v", w)
			}
			c.sameState()
		})
	}
}

func TestRestartKeepsIdentityAndData(t *testing.T) {
	t.Parallel()
	for _, store := range []node.LogStore{node.LogStoreBolt, node.LogStoreWAL} {
		t.Run(string(store), func(t *testing.T) {
			t.Parallel()
			restartKeeps(t, startCluster(t, 3, steady, func(cfg *node.Config) { cfg.LogStore = store }))
		})
	}
}

func restartKeeps(t *testing.T, c *cluster) {
	l := c.leader()
	var last answer
	for i := range 50 {
		last = c.do("PUT", c.api(l, fmt.Sprint("/kv/k", i)), fmt.Sprint("v", i))
		if last.status != 200 {
			t.Fatalf("%+v", last)
		}
	}
	before := c.role(l, "")
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	l = c.settle()
	after := c.role(l, "")
	if after.Term <= before.Term {
		t.Errorf("term %d after %d", after.Term, before.Term)
	}
	for n := range c.nodes {
		for i := range 50 {
			r := c.do("GET", c.api(n, fmt.Sprint("/kv/k", i)), "", "Dengine-Min-Index: "+last.header.Get("Dengine-Index"))
			if r.body != fmt.Sprintf(`{"value":"v%d"}`, i) {
				t.Fatalf("%s after the restart: %+v", c.configs[n].ID, r)
			}
		}
	}
	c.sameState()
}

func TestDataDirIsGuarded(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	refused := func(what string, cfg node.Config, says ...string) {
		t.Helper()
		n, err := node.Open(cfg, quiet(t))
		if err == nil {
			n.Close()
			t.Errorf("%s: opened", what)
			return
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", what, err, s)
			}
		}
	}
	refused("in use", c.configs[0], "is in use by process "+fmt.Sprint(os.Getpid()))
	c.stop(0)
	other := c.configs[0]
	other.DataDir = c.configs[1].DataDir
	c.stop(1)
	refused("another node's", other, "belongs to node n2, not to n1")
	other = c.configs[0]
	other.LogStore = otherStore(node.NewLogStore)
	refused("with another log store", other, fmt.Sprintf("has its log in %s, not in %s", node.NewLogStore, other.LogStore))
	other = c.configs[0]
	other.Cluster = "elsewhere"
	refused("another cluster's", other, `belongs to cluster "dengine", not to "elsewhere"`)
	log := map[node.LogStore]string{node.LogStoreBolt: "raft.db", node.LogStoreWAL: "wal"}[node.NewLogStore]
	if err := os.RemoveAll(filepath.Join(c.configs[0].DataDir, log)); err != nil {
		t.Fatal(err)
	}
	refused("without its log", c.configs[0], "its log is gone", log)
	if err := os.Remove(filepath.Join(c.configs[1].DataDir, "node.json")); err != nil {
		t.Fatal(err)
	}
	refused("without its identity", c.configs[1], "has a log but no", "node.json")
	c.stop(2)
	if err := os.Remove(filepath.Join(c.configs[2].DataDir, "peers.json")); err != nil {
		t.Fatal(err)
	}
	refused("without what it knows of its peers", c.configs[2], "peers.json")
}

func otherStore(s node.LogStore) node.LogStore {
	if s == node.LogStoreBolt {
		return node.LogStoreWAL
	}
	return node.LogStoreBolt
}

// A folder keeps its log store where the settings name none, whatever a new folder
// would get.
func TestFolderKeepsItsLogStore(t *testing.T) {
	t.Parallel()
	kept := otherStore(node.NewLogStore)
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.LogStore = kept })
	c.stop(0)
	c.configs[0].LogStore = ""
	c.start(0)
	if got := c.nodes[0].Status().Log.Store; got != string(kept) {
		t.Errorf("the log is in %s, and was in %s", got, kept)
	}
	if got := startCluster(t, 1).nodes[0].Status().Log.Store; got != string(node.NewLogStore) {
		t.Errorf("a new folder has %s, want %s", got, node.NewLogStore)
	}
}

// The first start of five takes four; a node that comes late finds its way in.
func TestLateNodeJoins(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5)
	for i := range 3 {
		c.start(i)
	}
	for i := range 3 {
		harness.Eventually(t, "three of five to wait", func() error {
			if r := c.role(i, ""); r.Role != healthcheck.RoleStarting || !strings.Contains(r.Reason, "3 peers must know it") {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	c.start(3)
	l := c.leader()
	w := c.do("PUT", c.api(l, "/kv/a"), "early")
	if w.status != 200 {
		t.Fatalf("four of five: %+v", w)
	}
	c.start(4)
	harness.Eventually(t, "the late node to follow", func() error {
		if r := c.role(4, ""); !r.Replica {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	c.sameState()
}

// One disk is lost, and the two others never meet before the empty one: the
// write that they acknowledged must not be forgotten.
func TestOneLostDiskOfThree(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick)
	c.stop(2)
	c.write("a", "precious")
	c.stop(0)
	c.stop(1)
	if err := os.RemoveAll(c.configs[0].DataDir); err != nil {
		t.Fatal(err)
	}
	c.start(0)
	c.start(2)
	never(t, 2*time.Second, "a leader without the write", func() bool {
		return c.role(0, "").Ready || c.role(2, "").Ready
	})
	c.start(1)
	harness.Eventually(t, "the two that remember to lead", func() error {
		if !c.role(1, "").Primary && !c.role(2, "").Primary {
			return errors.New("neither is primary")
		}
		return nil
	})
	for _, i := range []int{1, 2} {
		harness.Eventually(t, "the write", func() error {
			if r := c.do("GET", c.api(i, "/kv/a"), ""); r.body != `{"value":"precious"}` {
				return fmt.Errorf("%s: %+v", c.configs[i].ID, r)
			}
			return nil
		})
	}
}

// Design section 8: a node that comes back with an empty folder may have
// forgotten a vote or an acknowledged entry. It must not help to elect anyone.
func TestWipedNodeDoesNotVote(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick)
	l := c.write("a", "precious")
	wiped, survivor := c.others(l)[0], c.others(l)[1]
	c.stop(wiped)
	if err := os.RemoveAll(c.configs[wiped].DataDir); err != nil {
		t.Fatal(err)
	}
	c.start(wiped)
	says := func() error {
		r := c.role(wiped, "")
		if !strings.Contains(r.Reason, "lost its memory") || r.Ready || r.Primary || r.Replica {
			return fmt.Errorf("%+v", r)
		}
		return nil
	}
	harness.Eventually(t, "the wiped node to say so", says)
	w := c.do("PUT", c.api(wiped, "/kv/a"), "x")
	if w.status != 503 || w.code() != "starting" || !strings.Contains(w.body, "lost its memory") {
		t.Errorf("a write at it: %+v", w)
	}

	// The other two go on; with one of them gone nobody may be elected.
	c.stop(l)
	harness.Eventually(t, "the survivor to miss its leader", func() error {
		if r := c.role(survivor, ""); r.Leader.ID != "" && r.Role != healthcheck.RoleCandidate {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	never(t, 2*time.Second, "a leader elected with the wiped node's vote", func() bool {
		return c.role(survivor, "").Role == healthcheck.RoleLeader || says() != nil
	})

	// A restart does not make it forget that it forgot.
	c.stop(wiped)
	c.start(wiped)
	harness.Eventually(t, "the wiped node to say so again", says)

	c.start(l)
	harness.Eventually(t, "a leader of the two that remember", func() error {
		for _, i := range []int{l, survivor} {
			if c.role(i, "").Primary {
				return nil
			}
		}
		return errors.New("none is primary")
	})
	for _, i := range []int{l, survivor} {
		harness.Eventually(t, "the write to be there", func() error {
			if r := c.do("GET", c.api(i, "/kv/a"), ""); r.body != `{"value":"precious"}` {
				return fmt.Errorf("%s: %+v", c.configs[i].ID, r)
			}
			return nil
		})
	}
}

// never watches a condition for a while.
func never(t *testing.T, d time.Duration, what string, happens func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(d)
	for {
		if happens() {
			t.Fatalf("%s", what)
		}
		select {
		case <-tick.C:
		case <-end:
			return
		}
	}
}

func TestLeaderWithoutQuorum(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, func(cfg *node.Config) { cfg.WriteTimeout = 3 * time.Second })
	l := c.leader()
	if a := c.do("GET", c.health(l, "/primary"), ""); a.status != 200 || a.header.Get("Dengine-Term") == "" {
		t.Fatalf("%+v", a)
	}
	if a := c.do("GET", c.health(l, "/replica"), ""); a.status != 503 {
		t.Errorf("/replica on the leader: %+v", a)
	}
	for _, i := range c.others(l) {
		c.stop(i)
	}
	harness.Eventually(t, "the leader to stop saying so", func() error {
		p, r := c.do("GET", c.health(l, "/primary"), ""), c.do("GET", c.health(l, "/replica"), "")
		if p.status != 503 || r.status != 503 {
			return fmt.Errorf("%+v %+v", p, r)
		}
		return nil
	})
	w := c.do("PUT", c.api(l, "/kv/a"), "lonely")
	if w.status < 500 {
		t.Errorf("a minority acknowledged a write: %+v", w)
	}
	if w.code() == "no_leader" && w.header.Get("Dengine-Outcome") != "not-applied" {
		t.Errorf("%+v", w)
	}
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	f := c.others(l)[0]
	now := c.role(f, "")
	if again := c.role(f, "?wait=20s&epoch=other"); again.Epoch != now.Epoch {
		t.Errorf("another epoch is answered with %+v, want %+v", again, now)
	}
	got := make(chan healthcheck.Report, 1)
	go func() { got <- c.role(f, "?wait=60s&epoch="+now.Epoch) }()
	select {
	case r := <-got:
		t.Fatalf("answered while nothing had changed: %+v", r)
	case <-time.After(300 * time.Millisecond):
	}
	c.stop(l)
	select {
	case r := <-got:
		if r.Epoch == now.Epoch {
			t.Errorf("the epoch did not change: %+v", r)
		}
	case <-time.After(harness.Patience):
		t.Fatal("a change of leader did not end the poll")
	}
	c.leader()
	before := c.role(f, "")
	c.stop(f)
	c.start(f)
	if r := c.role(f, ""); strings.Split(r.Epoch, "-")[0] == strings.Split(before.Epoch, "-")[0] {
		t.Errorf("two runs share epochs: %s and %s", r.Epoch, before.Epoch)
	}
}

func TestSnapshotAndTruncation(t *testing.T) {
	t.Parallel()
	for _, store := range []node.LogStore{node.LogStoreBolt, node.LogStoreWAL} {
		t.Run(string(store), func(t *testing.T) {
			t.Parallel()
			snapshotAndTruncation(t, startCluster(t, 3, steady, func(cfg *node.Config) {
				cfg.LogStore = store
				cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 50, 10, 20*time.Millisecond
			}))
		})
	}
}

func snapshotAndTruncation(t *testing.T, c *cluster) {
	l := c.leader()
	behind := c.others(l)[0]
	c.stop(behind)
	for i := range 300 {
		if w := c.do("PUT", c.api(l, fmt.Sprint("/kv/k", i%40)), fmt.Sprint(i)); w.status != 200 {
			t.Fatalf("%+v", w)
		}
	}
	harness.Eventually(t, "a snapshot, and a log that begins behind the follower", func() error {
		if s := c.nodes[l].Status(); s.Snapshot.Index < 100 || s.Snapshot.Took == "" || s.Log.First < 100 {
			return fmt.Errorf("snapshot %+v, log %+v", s.Snapshot, s.Log)
		}
		return nil
	})
	c.start(behind)
	c.leader()
	c.sameState()
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	c.settle()
	c.sameState()
}

// A new leader must not say so before it has applied what was acknowledged
// before it: each round writes, ends the leader and reads at the next one at the
// first moment that it is primary.
func TestPrimaryHasAppliedEverything(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	for round := range 5 {
		l := c.leader()
		want := fmt.Sprint("round ", round)
		if w := c.do("PUT", c.api(l, "/kv/a"), want); w.status != 200 {
			t.Fatalf("%+v", w)
		}
		c.stop(l)
		var v node.Value
		harness.Eventually(t, "the next primary", func() error {
			for _, n := range c.nodes {
				if n == nil || !n.Report().Primary {
					continue
				}
				var err error
				v, err = n.Get(context.Background(), []byte("a"), node.ReadOptions{})
				return err
			}
			return errors.New("none")
		})
		if string(v.Value) != want {
			t.Fatalf("a primary read %q, acknowledged was %q", v.Value, want)
		}
		c.start(l)
	}
}

func TestManyWritersOneState(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.nodes[c.leader()]
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := range 50 {
				key := fmt.Appendf(nil, "k%d", (w*7+i)%30)
				if _, err := l.Put(t.Context(), key, fmt.Append(nil, w, i), node.Condition{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	c.sameState()
	var count uint64
	for i := range 30 {
		v, err := l.Get(t.Context(), fmt.Appendf(nil, "k%d", i), node.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		count += v.Writes
	}
	if count != 64*50 {
		t.Errorf("%d writes were acknowledged, %d are counted", 64*50, count)
	}
}

func TestHealthPort(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	f := c.others(l)[0]
	for _, s := range []struct {
		i      int
		path   string
		status int
		says   string
	}{
		{l, "/primary", 200, `"role":"leader"`}, {l, "/replica", 503, "not_replica"},
		{f, "/primary", 503, "not_primary"}, {f, "/replica", 200, `"role":"follower"`},
		{f, "/replica?max_lag=5", 200, "follower"}, {f, "/replica?max_lag=x", 400, "max_lag"},
		{f, "/livez", 200, ""}, {f, "/readyz", 200, ""}, {l, "/readyz", 200, ""},
		{f, "/role?wait=soon", 400, "wait"}, {f, "/nothing", 404, "/primary"},
		{l, "/status", 200, `"raft_version"`}, {l, "/metrics", 200, "dengine_node_primary 1"},
		{f, "/metrics", 200, "dengine_node_replica 1"},
	} {
		a := c.do("GET", c.health(s.i, s.path), "")
		if a.status != s.status || !strings.Contains(a.body, s.says) {
			t.Errorf("%s: %+v, want %d with %q", s.path, a, s.status, s.says)
		}
		if a.header.Get("Dengine-Node") != c.configs[s.i].ID || a.header.Get("Dengine-Term") == "" {
			t.Errorf("%s: headers %v", s.path, a.header)
		}
	}
	if a := c.do("POST", c.health(l, "/primary"), ""); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %+v", a)
	}
}
