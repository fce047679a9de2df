package main

import (
	"fmt"
	"slices"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// Where requests that go through a proxy end.
const (
	plainServers = "three plain servers"
	threeNodes   = "three nodes"
)

// proxyConnections are how many requests are in flight.
var proxyConnections = []int{1, 16, 64, 256, 1024}

// workload is one request, sent again and again, and who answers it.
type workload struct {
	group  string // as --only calls it
	what   string
	at     string
	method string
	path   string
	body   string
	answer int   // bytes of the answer's body, at least
	paced  []int // connections at which it is sent at a fixed rate too
}

// workloads are all that proxies are compared by.
func workloads() []workload {
	get := func(group, what string, size int, paced ...int) workload {
		return workload{group: group, what: what, at: plainServers, method: "GET", path: plainPath(size), answer: size, paced: paced}
	}
	return []workload{
		get("get-16", "GET 16 B", 16, 16, 64, 256),
		get("get-1k", "GET 1 KiB", 1<<10, 64),
		get("get-64k", "GET 64 KiB", 64<<10),
		{group: "post-256", what: "POST 256 B", at: plainServers, method: "POST", path: plainPath(16), body: value, answer: 16, paced: []int{64}},
		{group: "node-get", what: "GET a key", at: threeNodes, method: "GET", path: "/kv/" + key(0), answer: valueBytes, paced: []int{64}},
		{group: "node-put", what: "PUT 256 B", at: threeNodes, method: "PUT", path: "/kv/" + key(0), body: value},
	}
}

// named returns the workload of a group.
func named(group string) workload {
	all := workloads()
	return all[slices.IndexFunc(all, func(w workload) bool { return w.group == group })]
}

// key is of what was found at full speed.
func (w workload) key(system string, n int) benchmark.Key {
	return benchmark.Key{System: system, What: w.what, At: w.at, Connections: n}
}

// pacedKey is of what was found at a fixed rate.
func (w workload) pacedKey(system string, n int) benchmark.Key {
	return benchmark.Key{System: system, What: w.what + atRate, At: w.at, Connections: n}
}

const atRate = " at half of HAProxy's most"

func proxyPart() part {
	p := part{name: "proxy", seconds: 2, promises: proxyPromises, look: lookAtProxies, tables: proxyTables}
	for _, w := range workloads() {
		p.groups = append(p.groups, group{w.group, withWrk(func(b *bench, t harness.T) { compareProxies(b, t, w) })})
	}
	p.groups = append(p.groups, group{"safe", withWrk(measureSafety)})
	return p
}

// withWrk leaves out what cannot be measured without it; lookAtProxies says so, once.
func withWrk(run func(*bench, harness.T)) func(*bench, harness.T) {
	return func(b *bench, t harness.T) {
		if _, err := harness.Find("wrk"); err == nil {
			run(b, t)
		}
	}
}

// lookAtProxies finds out which rivals are here, and what makes the load.
func lookAtProxies() (versions map[string]string, absent []string) {
	versions = map[string]string{}
	note := func(name string, args ...string) {
		v, err := harness.Version(name, args...)
		if err != nil {
			absent = append(absent, err.Error())
			return
		}
		versions[name] = v
	}
	for _, r := range rivals() {
		note(r.name, r.version...)
	}
	note("wrk", "-v")
	return versions, absent
}

// nobody is who stands between when there is no proxy: what the load and the
// servers can do by themselves.
const nobody = "no proxy"

// directAt is the number of connections at which each workload has that figure.
const directAt = 64

// compareProxies measures one workload through every proxy that is here. At each
// number of connections they come one after the other, another one first each round.
func compareProxies(b *bench, t harness.T, w workload) {
	t.Helper()
	r, s := newRig(b, t, w)
	for _, p := range w.proxies() {
		if path, err := p.path(t); err == nil { // else that was said at the beginning
			r.start(p, path, s)
		}
	}
	direct := running{proxy: proxy{name: nobody}, addr: s.Backends[0].HTTP}
	if s.Leader != "" {
		direct.addr = s.Leader
	}
	for _, n := range proxyConnections {
		turn, paced := rotated(r.proxies, b.round), slices.Contains(w.paced, n)
		if paced || n == directAt {
			turn = append(turn, direct)
		}
		for _, p := range turn {
			r.fast(p, w.key(p.name, n))
		}
		if rate := r.most(n) / 2; paced && rate > 0 {
			for _, p := range turn {
				r.paced(p, w.pacedKey(p.name, n), rate)
			}
		}
	}
}

// rotated puts another one first each round.
func rotated(all []running, round int) []running {
	k := 0
	if len(all) > 0 {
		k = round % len(all)
	}
	return slices.Concat(all[k:], all[:k])
}

// site starts the servers of a workload.
func (w workload) site(t harness.T) (s site, pids []int) {
	t.Helper()
	if w.at == threeNodes {
		return nodeSite(t)
	}
	return plainSite(t)
}

func nodeSite(t harness.T) (s site, pids []int) {
	t.Helper()
	d := startDengine(t)
	for _, p := range d.Nodes {
		s.Backends = append(s.Backends, server{p.Name, p.HTTP, p.Health})
	}
	s.Leader = d.leader.HTTP
	return s, d.pids()
}

func plainSite(t harness.T) (s site, pids []int) {
	t.Helper()
	const size = 3
	self := executable(t)
	for i, addr := range harness.FreePorts(t, size) {
		p := harness.Foreign(t, t.TempDir(), self, []string{plainCommand, "--listen", addr})
		p.Name = fmt.Sprintf("s%d", i+1)
		harness.AwaitPort(t, p.Name, addr)
		s.Backends = append(s.Backends, server{p.Name, addr, addr})
		pids = append(pids, p.PID())
	}
	return s, pids
}
