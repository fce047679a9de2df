// Package harness starts real clusters of the real programs for tests and
// benchmarks: it builds them, gives them ports and folders, kills, stops and
// pauses them by their process id, and takes everything down at the end.
package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

// Patience is how long something that must happen may take. It is long: a test
// that fails for want of it has found something.
const Patience = 60 * time.Second

// programs is the folder of everything that is built; build and buildFaults are
// parts of it.
var programs = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "dengine-bin-") })

var (
	build       = sync.OnceValues(func() (string, error) { return buildInto("plain") })
	buildFaults = sync.OnceValues(func() (string, error) { return buildInto("faults", "-tags", "faults") })
)

func buildInto(name string, args ...string) (string, error) {
	dir, err := programs()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, name)
	args = append([]string{"build", "-o", dir + "/"}, args...)
	if Race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/dengine/dengine/cmd/...")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return dir, nil
}

// Programs builds the programs once for a test binary and returns their folder.
func Programs(t testing.TB) string {
	t.Helper()
	return built(t, build)
}

// FaultyPrograms are the programs built with the tag faults: their nodes look for
// a file "fault" in their data folder (node/faults.go).
func FaultyPrograms(t testing.TB) string {
	t.Helper()
	return built(t, buildFaults)
}

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Cleanup removes the built programs; TestMain calls it at the end.
func Cleanup() {
	if dir, err := programs(); err == nil {
		os.RemoveAll(dir)
	}
}

// Options say what cluster to start.
type Options struct {
	Nodes    int      // 3 where it is 0
	NoLB     bool     // nodes alone
	NodeArgs []string // more flags for every node
	LBArgs   []string // more flags for the balancer
	Faults   bool     // nodes whose disks can be broken, see FaultyPrograms
	// Standard uses the default ports (8081…, 10001…, 8080), which files in
	// testdata name; such clusters cannot run side by side.
	Standard bool
}

// Cluster is a running cluster.
type Cluster struct {
	T      testing.TB
	Nodes  []*Process
	LB     *Process // nil with NoLB
	Front  string   // the balancer's host:port
	Admin  string   // its admin port
	client *http.Client
}

// Start starts a cluster and waits until it serves: one leader that all follow,
// and a balancer that reads and writes.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := Prepare(t, o)
	for _, p := range c.All() {
		p.Start()
	}
	c.WaitReady()
	return c
}

// Prepare is Start without starting anything.
func Prepare(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if Race { // everything is ten times as slow; the lease need not be ten times as tight
		o.NodeArgs = append([]string{"--lease-timeout", "300ms"}, o.NodeArgs...)
	}
	build := Programs
	if o.Faults {
		build = FaultyPrograms
	}
	bin := build(t)
	c := &Cluster{T: t, client: &http.Client{
		Timeout:   Patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}}
	ports := pickPorts(t, 3*o.Nodes+2, o)
	dir := t.TempDir()
	var members, backends []string
	for i := range o.Nodes {
		p := &Process{
			Name: fmt.Sprintf("n%d", i+1), HTTP: ports[3*i], Health: ports[3*i+1], Raft: ports[3*i+2],
			t: t, path: filepath.Join(bin, "dengine-node"),
		}
		p.Dir = filepath.Join(dir, p.Name)
		members = append(members, "--initial-cluster", fmt.Sprintf("id=%s,raft=%s,http=%s,health=%s", p.Name, p.Raft, p.HTTP, p.Health))
		backends = append(backends, "--backend", fmt.Sprintf("id=%s,http=%s,health=%s", p.Name, p.HTTP, p.Health))
		c.Nodes = append(c.Nodes, p)
	}
	for _, p := range c.Nodes {
		p.args = append([]string{
			"--id", p.Name, "--data-dir", p.Dir, "--http-listen", p.HTTP, "--health-listen", p.Health, "--raft-listen", p.Raft,
		}, append(members, o.NodeArgs...)...)
	}
	if !o.NoLB {
		c.Front, c.Admin = ports[3*o.Nodes], ports[3*o.Nodes+1]
		c.LB = &Process{Name: "lb", HTTP: c.Front, Health: c.Admin, t: t, path: filepath.Join(bin, "dengine-lb")}
		c.LB.args = append([]string{"--listen", c.Front, "--admin", c.Admin}, append(backends, o.LBArgs...)...)
	}
	t.Cleanup(func() {
		c.client.CloseIdleConnections()
		for _, p := range c.All() {
			p.Kill()
			if strings.Contains(p.Log(), raceReport) {
				t.Errorf("%s has a data race", p.Name)
			}
			if t.Failed() {
				t.Logf("log of %s:\n%s", p.Name, p.Log())
			}
		}
	})
	return c
}

// pickPorts returns the addresses that a cluster gets.
func pickPorts(t testing.TB, n int, o Options) []string {
	t.Helper()
	if !o.Standard {
		return FreePorts(t, n)
	}
	var out []string
	for i := range o.Nodes {
		out = append(out, loopback(8081+i), loopback(10001+i), loopback(9081+i))
	}
	return append(out, loopback(8080), loopback(8088))
}

// FreePorts returns n loopback addresses that were free a moment ago, all held
// at once so that they differ.
func FreePorts(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	for range n {
		ln, err := net.Listen("tcp", loopback(0))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out = append(out, ln.Addr().String())
	}
	return out
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// All are the nodes and the balancer.
func (c *Cluster) All() []*Process {
	all := append([]*Process(nil), c.Nodes...)
	if c.LB != nil {
		all = append(all, c.LB)
	}
	return all
}

// Role asks a node's /role; an error means that it does not answer.
func (c *Cluster) Role(p *Process) (healthcheck.Report, error) {
	var r healthcheck.Report
	resp, err := c.client.Get("http://" + p.Health + healthcheck.PathRole)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// Leader waits for a node that answers /primary with 200 and returns it.
func (c *Cluster) Leader() *Process {
	c.T.Helper()
	var leader *Process
	Eventually(c.T, "a leader", func() error {
		var term uint64
		leader = nil
		for _, p := range c.Nodes {
			if !p.Running() {
				continue
			}
			if r, err := c.Role(p); err == nil && r.Primary && r.Term >= term {
				leader, term = p, r.Term
			}
		}
		if leader == nil {
			return fmt.Errorf("none is primary")
		}
		return nil
	})
	return leader
}

// Followers are the running nodes but the leader.
func (c *Cluster) Followers() []*Process {
	c.T.Helper()
	leader := c.Leader()
	var out []*Process
	for _, p := range c.Nodes {
		if p != leader && p.Running() {
			out = append(out, p)
		}
	}
	return out
}

// WaitReady waits until every running node follows one leader, and the balancer,
// if it runs, is ready.
func (c *Cluster) WaitReady() {
	c.T.Helper()
	Eventually(c.T, "a cluster that serves", func() error {
		leader := ""
		for _, p := range c.Nodes {
			if !p.Running() {
				continue
			}
			r, err := c.Role(p)
			if err != nil {
				return err
			}
			if !r.Ready || r.Leader.ID == "" || (leader != "" && r.Leader.ID != leader) {
				return fmt.Errorf("%+v", r)
			}
			leader = r.Leader.ID
		}
		if c.LB == nil || !c.LB.Running() {
			return nil
		}
		if a, err := c.Try("GET", "http://"+c.Admin+healthcheck.PathReady, ""); err != nil || a.Status != 200 {
			return fmt.Errorf("balancer: %+v, %w", a, err)
		}
		return nil
	})
}

// Answer is an HTTP answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Try sends a request and returns its answer. Headers are name, value, name, ….
func (c *Cluster) Try(method, url, body string, headers ...string) (Answer, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return Answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, string(b)}, err
}

// Do is Try where an answer must come.
func (c *Cluster) Do(method, url, body string, headers ...string) Answer {
	c.T.Helper()
	a, err := c.Try(method, url, body, headers...)
	if err != nil {
		c.T.Fatal(err)
	}
	return a
}

// Put writes at the leader until a write is acknowledged; the machine may be so
// busy that a leader loses its lease in between.
func (c *Cluster) Put(key, value string) {
	c.T.Helper()
	Eventually(c.T, "a write to be acknowledged", func() error {
		a, err := c.Try(http.MethodPut, "http://"+c.Leader().HTTP+"/kv/"+key, value)
		if err != nil || a.Status != http.StatusOK {
			return fmt.Errorf("%+v, %w", a, err)
		}
		return nil
	})
}

// Eventually polls until check gives nil.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(Patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s: %v", Patience, what, err)
		}
	}
}
