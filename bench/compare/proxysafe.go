package main

import (
	"fmt"
	"path/filepath"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// safeConnections are how many requests are in flight where settings are compared.
const safeConnections = 64

// safety is something that makes the balancer safer or tells more of it, and that
// existing settings switch on and off.
type safety struct {
	what     string
	workload string // its group
	// Flags of the balancer, or another path of the request, that switch it.
	with, without         func(dir string) []string
	withPath, withoutPath string
}

// safeties are all that can be switched. Strict parsing and metrics cannot be.
func safeties() []safety {
	flags := func(all ...string) func(string) []string { return func(string) []string { return all } }
	shipped := flags()
	return []safety{
		{
			what: "access log, to a file", workload: "get-16", without: shipped,
			with: func(dir string) []string { return []string{"--access-log", filepath.Join(dir, "access.log")} },
		},
		{what: "write identities", workload: "node-put", with: shipped, without: flags("--identities=false")},
		{what: "reading one's own writes", workload: "node-get", with: flags("--read-your-writes"), without: shipped},
		{what: "linearizable, not eventual", workload: "node-get", with: shipped, without: shipped, withoutPath: "?consistency=eventual"},
	}
}

// key is what it is called in the results, switched on or off.
func (s safety) key(on bool) benchmark.Key {
	w, mode := named(s.workload), "off"
	if on {
		mode = "on"
	}
	return benchmark.Key{System: ours, What: fmt.Sprintf("%s, %s: %s", w.what, s.what, mode), At: w.at, Connections: safeConnections}
}

// measureSafety measures each of them switched on and off, one after the other.
func measureSafety(b *bench, t harness.T) {
	for _, s := range safeties() {
		s.measure(b, t)
	}
}

func (s safety) measure(b *bench, t harness.T) {
	t.Helper()
	r, place := newRig(b, t, named(s.workload))
	balance := func(flags []string) running {
		p := balancer(ours, flags...)
		path, err := p.path(t)
		if err != nil {
			t.Fatal(err)
		}
		return r.start(p, path, place)
	}
	sides := []struct {
		on   bool
		path string
		run  running
	}{
		{true, s.withPath, balance(s.with(r.dir))},
		{false, s.withoutPath, balance(s.without(r.dir))},
	}
	path := r.workload.path
	for i := range sides {
		side := sides[(i+b.round)%len(sides)] // another one first each round
		r.workload.path = path + side.path
		r.fast(side.run, s.key(side.on))
	}
}

// safePromises are what each of them costs.
func safePromises() (out []benchmark.Promise) {
	for _, s := range safeties() {
		for _, f := range []benchmark.Figure{benchmark.PerSecond, benchmark.CPUMicros} {
			out = append(out, benchmark.Promise{
				What: fmt.Sprintf("%s, %s: %s, on / off", named(s.workload).what, s.what, f), Of: s.key(true), To: s.key(false), Figure: f,
			})
		}
	}
	return out
}
