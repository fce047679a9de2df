package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// cluster is a real cluster in this process: real sockets, real disks.
type cluster struct {
	t       *testing.T
	configs []node.Config
	nodes   []*node.Node // nil while down
	client  *http.Client
}

// newCluster prepares n nodes; start starts them.
func newCluster(t *testing.T, n int, tune ...func(*node.Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, nodes: make([]*node.Node, n), client: &http.Client{
		Timeout:   harness.Patience,
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
	ports := harness.FreePorts(t, 3*n)
	var members []node.Member
	for i := range n {
		members = append(members, node.Member{
			ID: fmt.Sprintf("n%d", i+1), Raft: ports[3*i], HTTP: ports[3*i+1], Health: ports[3*i+2],
		})
	}
	dir := t.TempDir()
	for _, m := range members {
		cfg := node.DefaultConfig()
		cfg.ID, cfg.DataDir, cfg.InitialCluster = m.ID, filepath.Join(dir, m.ID), members
		cfg.RaftListen, cfg.HTTPListen, cfg.HealthListen = m.Raft, m.HTTP, m.Health
		timeouts(&cfg, time.Second) // these tests share two cores, and a disk, with others
		cfg.ReadTimeout = 10 * time.Second
		for _, f := range tune {
			f(&cfg)
		}
		c.configs = append(c.configs, cfg)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	return c
}

// timeouts sets all that decides how long a leader is not missed.
func timeouts(cfg *node.Config, d time.Duration) {
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaseTimeout = d, d, d
}

// quick is for tests that wait for several times as long as an election takes.
func quick(cfg *node.Config) { timeouts(cfg, 300*time.Millisecond) }

// startCluster starts n nodes and waits for a leader.
func startCluster(t *testing.T, n int, tune ...func(*node.Config)) *cluster {
	t.Helper()
	c := newCluster(t, n, tune...)
	for i := range n {
		c.start(i)
	}
	c.settle()
	return c
}

// settle waits for a leader of nodes that were all started, but for no long timeout.
func (c *cluster) settle() int {
	c.t.Helper()
	if c.configs[0].HeartbeatTimeout > 2*time.Second {
		longest := 0 // the others do not vote for one with a shorter log
		harness.Eventually(c.t, "all nodes to take part", func() error {
			for i, n := range c.nodes {
				if r := n.Report(); r.Role == healthcheck.RoleStarting {
					return fmt.Errorf("%+v", r)
				}
				if n.Logged() > c.nodes[longest].Logged() {
					longest = i
				}
			}
			return nil
		})
		c.make(longest)
	}
	return c.leader()
}

func (c *cluster) start(i int) {
	c.t.Helper()
	n, err := node.Open(c.configs[i], quiet(c.t))
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

// quiet shows errors, and only where a test fails.
func quiet(t *testing.T) *zap.Logger {
	return zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
}

func (c *cluster) stop(i int) {
	if n := c.nodes[i]; n != nil {
		c.nodes[i] = nil
		if err := n.Close(); err != nil {
			c.t.Errorf("close %s: %v", c.configs[i].ID, err)
		}
	}
}

// leader waits until exactly one node is primary and all that run follow it.
func (c *cluster) leader() int {
	c.t.Helper()
	var at int
	harness.Eventually(c.t, "one leader that all follow", func() error {
		at = -1
		for i, n := range c.nodes {
			if n != nil && n.Report().Primary {
				at = i
			}
		}
		if at < 0 {
			return fmt.Errorf("no node is primary")
		}
		for _, n := range c.nodes {
			if n == nil {
				continue
			}
			if r := n.Report(); r.Leader.ID != c.configs[at].ID || !r.Ready {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
	return at
}

// others are the running nodes but i.
func (c *cluster) others(i int) []int {
	var out []int
	for j, n := range c.nodes {
		if j != i && n != nil {
			out = append(out, j)
		}
	}
	return out
}

// answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code() string {
	var e struct{ Error string }
	_ = json.Unmarshal([]byte(a.body), &e) // no JSON: no code
	return e.Error
}

// do sends a request; headers are "Name: value".
func (c *cluster) do(method, url, body string, headers ...string) answer {
	c.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (c *cluster) api(i int, path string) string { return "http://" + c.configs[i].HTTPListen + path }

func (c *cluster) health(i int, path string) string {
	return "http://" + c.configs[i].HealthListen + path
}

func (c *cluster) role(i int, query string) healthcheck.Report {
	c.t.Helper()
	var r healthcheck.Report
	if err := json.Unmarshal([]byte(c.do("GET", c.health(i, "/role"+query), "").body), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *cluster) hash(i int) string {
	c.t.Helper()
	var s struct {
		StateHash string `json:"state_hash"`
		Applied   uint64 `json:"applied"`
	}
	if err := json.Unmarshal([]byte(c.do("GET", c.health(i, "/status?hash=true"), "").body), &s); err != nil {
		c.t.Fatal(err)
	}
	return fmt.Sprintf("%s at %d", s.StateHash, s.Applied)
}

// sameState waits until all running nodes have the same state, byte for byte.
func (c *cluster) sameState() {
	c.t.Helper()
	harness.Eventually(c.t, "the same state on every node", func() error {
		first := ""
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			switch h := c.hash(i); {
			case first == "":
				first = h
			case h != first:
				return fmt.Errorf("%s has %s, others %s", c.configs[i].ID, h, first)
			}
		}
		return nil
	})
}

// opaque is a URL whose path is sent as it stands.
func opaque(host, path string) *url.URL {
	return &url.URL{Scheme: "http", Host: host, Opaque: "//" + host + path}
}
