package main

import (
	"fmt"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/chaos"
)

// promises are what is held up against every fault, where the command line names
// no level.
func promises(o options) []chaos.Promise {
	if o.level != "" {
		return []chaos.Promise{{Level: o.level, MaxStaleness: o.staleness}}
	}
	return []chaos.Promise{
		{Level: "linearizable"},
		{Level: "lease"},
		{Level: "eventual", MaxStaleness: 500 * time.Millisecond},
	}
}

// plan is which rounds to run: every fault under every promise, over and over
// until there are enough. Each round has a seed of its own, the first one the
// command line's.
func plan(o options) ([]chaos.Setup, error) {
	if o.rounds < 0 || o.seconds < 1 {
		return nil, fmt.Errorf("--rounds %d, --seconds %d: want at least 0, and at least 1", o.rounds, o.seconds)
	}
	if o.staleness != 0 && o.level == "" {
		return nil, fmt.Errorf("--staleness %v: say --level eventual too, whose reads it bounds", o.staleness)
	}
	faults, err := benchmark.Choose(o.faults, chaos.Faults(), func(f chaos.Fault) string { return f.Name })
	if err != nil {
		return nil, fmt.Errorf("--faults: %w", err)
	}
	var once []chaos.Setup
	for _, p := range promises(o) {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		for _, f := range faults {
			once = append(once, chaos.Setup{
				Promise: p, Fault: f, Lasts: time.Duration(o.seconds) * time.Second,
				Load: chaos.DefaultProfile(), Evidence: o.evidence,
			})
		}
	}
	if o.rounds == 0 {
		o.rounds = len(once)
	}
	out := make([]chaos.Setup, o.rounds)
	for i := range out {
		out[i] = once[i%len(once)]
		out[i].Seed = o.seed + uint64(i)
	}
	return out, nil
}
