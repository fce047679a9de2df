// Package harness starts real clusters of the real programs for tests and
// benchmarks: it builds them, gives them ports and folders, kills, stops and
// pauses them by their process id, and takes everything down at the end.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

// Patience is how long something that must happen may take. It is long: a test
// that fails for want of it has found something.
const Patience = 60 * time.Second

// Options say what cluster to start.
type Options struct {
	Nodes    int      // 3 where it is 0
	NoLB     bool     // nodes alone
	NodeArgs []string // more flags for every node
	NodeEnv  []string // more environment for every node, as NAME=value
	LBArgs   []string // more flags for the balancer
	// Faults builds the programs so that faults can be caused in them; see Fault.
	Faults bool
	// Relays puts a Network between the nodes and all who reach them, the
	// balancer included. It has ports of its own, so that Standard has no effect.
	Relays bool
	// Standard uses the default ports (8081…, 10001…, 8080), which files in
	// testdata name; such clusters cannot run side by side.
	Standard bool
}

// Cluster is a running cluster.
type Cluster struct {
	T      T
	Nodes  []*Process
	Net    *Network // nil without Relays
	LB     *Process // nil with NoLB
	Front  string   // the balancer's host:port
	Admin  string   // its admin port
	client *http.Client
}

// Start starts a cluster and waits until it serves: one leader that all follow,
// and a balancer that reads and writes.
func Start(t T, o Options) *Cluster {
	t.Helper()
	c := Prepare(t, o)
	for _, p := range c.All() {
		p.Start()
	}
	c.WaitReady()
	return c
}

// Prepare is Start without starting anything.
func Prepare(t T, o Options) *Cluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if Race { // everything is ten times as slow; the lease need not be ten times as tight, nor the patience with elections
		o.NodeArgs = append([]string{"--lease-timeout", "300ms"}, o.NodeArgs...)
		o.LBArgs = append([]string{"--hold-timeout", "40s"}, o.LBArgs...)
	}
	build := shipped
	if o.Faults {
		build = faulty
	}
	bin := build.programs(t)
	c := &Cluster{T: t, client: &http.Client{
		Timeout:   Patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}}
	ports := pickPorts(t, 3*o.Nodes+2, o)
	dir := t.TempDir()
	for i := range o.Nodes {
		p := &Process{
			Name: fmt.Sprintf("n%d", i+1), HTTP: ports[3*i], Health: ports[3*i+1], Raft: ports[3*i+2],
			t: t, path: filepath.Join(bin, "dengine-node"), env: append(os.Environ(), o.NodeEnv...),
		}
		p.Dir = filepath.Join(dir, p.Name)
		c.Nodes = append(c.Nodes, p)
	}
	var members, backends []string
	for _, k := range c.known(t, o) {
		members = append(members, "--initial-cluster", fmt.Sprintf("id=%s,raft=%s,http=%s,health=%s", k.name, k.raft, k.http, k.health))
		backends = append(backends, "--backend", fmt.Sprintf("id=%s,http=%s,health=%s", k.name, k.http, k.health))
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
	t.Cleanup(c.end)
	return c
}

// end kills everything, and shows what it printed where the test has failed.
func (c *Cluster) end() {
	c.client.CloseIdleConnections()
	for _, p := range c.All() {
		p.Kill()
		if strings.Contains(p.Log(), raceReport) {
			c.T.Errorf("%s has a data race", p.Name)
		}
		p.showLog()
	}
	if c.Net != nil {
		c.Net.close()
	}
}

// addresses are those that a node is known by to all others.
type addresses struct{ name, raft, http, health string }

// known returns them: those that the nodes listen on, or with Relays those of
// relays in front of them.
func (c *Cluster) known(t T, o Options) []addresses {
	t.Helper()
	var out []addresses
	if !o.Relays {
		for _, p := range c.Nodes {
			out = append(out, addresses{p.Name, p.Raft, p.HTTP, p.Health})
		}
		return out
	}
	ports := FreePorts(t, 3*len(c.Nodes))
	c.Net = newNetwork()
	c.Net.dying = func(node string) bool {
		return slices.ContainsFunc(c.Nodes, func(p *Process) bool { return p.Name == node && p.dying() })
	}
	for i, p := range c.Nodes {
		a := addresses{p.Name, ports[3*i], ports[3*i+1], ports[3*i+2]}
		c.Net.relay(p.Name, "", a.raft, p.Raft)
		c.Net.relay(p.Name, Clients, a.http, p.HTTP)
		c.Net.relay(p.Name, Probers, a.health, p.Health)
		out = append(out, a)
	}
	return out
}

// pickPorts returns the addresses that a cluster gets.
func pickPorts(t T, n int, o Options) []string {
	t.Helper()
	if !o.Standard || o.Relays {
		return FreePorts(t, n)
	}
	var out []string
	for i := range o.Nodes {
		out = append(out, loopback(8081+i), loopback(10001+i), loopback(9081+i))
	}
	return append(out, loopback(8080), loopback(8088))
}

// All are the nodes and the balancer.
func (c *Cluster) All() []*Process {
	all := append([]*Process(nil), c.Nodes...)
	if c.LB != nil {
		all = append(all, c.LB)
	}
	return all
}

// Role asks a node's /role; an error means that it does not answer.
func (c *Cluster) Role(p *Process) (healthcheck.Report, error) { return c.RoleWithin(p, Patience) }

// RoleWithin is Role of a node that may be stopped: it waits no longer than limit.
func (c *Cluster) RoleWithin(p *Process, limit time.Duration) (healthcheck.Report, error) {
	var r healthcheck.Report
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Health+healthcheck.PathRole, nil)
	if err != nil {
		return r, err
	}
	resp, err := c.client.Do(req)
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
		if !slices.ContainsFunc(c.Nodes, (*Process).Running) {
			lines := strings.Split(strings.TrimSpace(c.Nodes[0].Log()), "\n")
			c.T.Fatalf("no node runs; the last that %s said: %s", c.Nodes[0].Name, lines[len(lines)-1])
		}
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
func Eventually(t T, what string, check func() error) {
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
