package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// rig is one workload's servers and the proxies in front of them, for one round.
type rig struct {
	*bench
	t        harness.T
	workload workload
	servers  []int // process ids
	proxies  []running
	dir      string
}

// newRig starts the servers of a workload.
func newRig(b *bench, t harness.T, w workload) (*rig, site) {
	t.Helper()
	s, pids := w.site(t)
	return &rig{bench: b, t: t, workload: w, servers: pids, dir: t.TempDir()}, s
}

// start adds a proxy, once it answers as it should.
func (r *rig) start(p proxy, path string, s site) running {
	r.t.Helper()
	run := p.start(r.t, path, s)
	r.proxies = append(r.proxies, run)
	harness.Eventually(r.t, "right answers from "+p.name, func() error { return r.try(run) })
	if _, err := r.pace(run, warmConnections, warmRate, 0).run(); err != nil {
		r.t.Errorf("warm up %s: %v", p.name, err)
	}
	return run
}

// inARow is how many right answers show that no server answers wrongly: each has its
// turn twice.
const inARow = 6

// What is sent before anything is measured.
const (
	warmUp          = 500 * time.Millisecond
	warmConnections = 16
	warmRate        = 4000 // requests/s
)

// try asks a proxy for what it will be measured by.
func (r *rig) try(p running) error {
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	for range inARow {
		c.out = append(c.out[:0], r.workload.bytes(p.addr)...)
		if err := c.exchange(); err != nil {
			return err
		}
		if len(c.body) < r.workload.answer {
			return fmt.Errorf("the answer has %d B, want at least %d: %.100q", len(c.body), r.workload.answer, c.body)
		}
	}
	return nil
}

// bytes are those of the request.
func (w workload) bytes(host string) string {
	out := w.method + " " + w.path + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if w.method != http.MethodGet {
		out += fmt.Sprintf("Content-Length: %d\r\n", len(w.body))
	}
	return out + "\r\n" + w.body
}

// fast measures as many requests as n connections carry.
func (r *rig) fast(p running, k benchmark.Key) {
	r.t.Helper()
	r.sample(p, k, func() (benchmark.Sample, int, error) {
		s, err := wrk(r.t, r.dir, r.workload, p.addr, k.Connections, r.window.Length)
		return s, s.Requests, err
	})
}

// paced measures requests at a fixed rate.
func (r *rig) paced(p running, k benchmark.Key, rate float64) {
	r.t.Helper()
	r.sample(p, k, func() (benchmark.Sample, int, error) {
		found, err := r.pace(p, k.Connections, rate, r.window.Length).run()
		if err != nil {
			return benchmark.Sample{}, 0, err
		}
		s := benchmark.NewSample(found.took)
		s.Offered, s.PerSecond = rate, float64(len(found.took)-found.late)/r.window.Length.Seconds()
		return s, found.answered, nil
	})
}

// pace sends this workload's request to a proxy.
func (r *rig) pace(p running, n int, rate float64, length time.Duration) pace {
	return pace{
		addr: p.addr, request: []byte(r.workload.bytes(p.addr)), answer: r.workload.answer,
		connections: n, rate: rate, warmUp: warmUp, length: length,
	}
}

// most is the most requests/s that HAProxy carried in this round; where it is not
// here, another one.
func (r *rig) most(n int) float64 {
	for _, name := range []string{haproxy, ours, nginx, caddy} {
		if s, ok := r.book.Find(r.round, r.workload.key(name, n)); ok {
			return s.PerSecond
		}
	}
	return 0
}

// tooBusy is how much of a core the load may take at a fixed rate: with more, what it
// finds is its own slowness.
const tooBusy = 0.9

// cost is what a load has cost the proxy, and all.
type cost struct {
	proxy, all benchmark.Use
	rss        int // bytes
}

// meter runs a load and returns what it cost.
func (r *rig) meter(p running, load func() error) (c cost, err error) {
	type memory struct {
		rss int
		err error
	}
	read := make(chan memory, 1)
	timer := time.AfterFunc(r.window.Length*3/4, func() { // while all connections are open
		rss, err := benchmark.Resident(p.pids...)
		read <- memory{rss, err}
	})
	defer timer.Stop()
	var inner error
	c.all, err = benchmark.NewMeter(slices.Concat(r.servers, p.pids)...).Over(func() {
		var failed error
		c.proxy, inner = benchmark.NewMeter(p.pids...).Over(func() { failed = load() })
		inner = errors.Join(failed, inner)
	})
	if err = errors.Join(inner, err); err != nil {
		return c, err
	}
	m := <-read
	c.rss = m.rss
	return c, m.err
}

// sample books what load finds, and what that costs. load also says how many requests
// were answered in all. Where anything went wrong nothing is booked.
func (r *rig) sample(p running, k benchmark.Key, load func() (benchmark.Sample, int, error)) {
	r.t.Helper()
	var s benchmark.Sample
	var answered int
	c, err := r.meter(p, func() (err error) {
		s, answered, err = load()
		return err
	})
	if err == nil && s.Offered > 0 && c.all.Load > tooBusy {
		err = fmt.Errorf("the load took %.2f cores itself: it was the bottleneck", c.all.Load)
	}
	if err != nil {
		r.spoil(r.t, k, err)
		return
	}
	s = s.With(c.all)
	s.CPUMicros = 1e6 * c.proxy.Servers * c.proxy.Took.Seconds() / float64(answered)
	s.RSS = float64(c.rss) / (1 << 20)
	r.record(r.t, k, s)
}
