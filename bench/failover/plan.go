package main

import (
	"fmt"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/failover"
)

// plan is what to measure, in which order: one fault through all fronts, then the
// next.
func plan(o options) ([]failover.Setup, error) {
	if o.kills < 0 || o.rivalKills < 1 {
		return nil, fmt.Errorf("--kills %d, --rival-kills %d: want at least 0, and at least 1", o.kills, o.rivalKills)
	}
	faults, err := benchmark.Choose(o.faults, failover.Faults(), func(f failover.Fault) string { return f.Name })
	if err != nil {
		return nil, fmt.Errorf("--fault: %w", err)
	}
	fronts, err := benchmark.Choose(o.fronts, failover.Fronts(), func(f failover.Front) string { return f.Name })
	if err != nil {
		return nil, fmt.Errorf("--front: %w", err)
	}
	var out []failover.Setup
	for _, fault := range faults {
		if fault.Extra && o.faults == "" {
			continue
		}
		for _, front := range fronts {
			if front.Rival() && !fault.Rivals {
				continue
			}
			out = append(out, failover.Setup{
				Fault: fault, Front: front, Attempts: attempts(o, fault, front),
				Load: failover.DefaultProfile(), Testdata: o.testdata,
			})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nothing to measure: other fronts than dengine are measured only with faults that need no help from the nodes")
	}
	return out, nil
}

func attempts(o options, fault failover.Fault, front failover.Front) int {
	n := fault.Attempts
	if o.kills > 0 {
		n = o.kills
	}
	if front.Rival() {
		n = min(n, o.rivalKills)
	}
	return n
}
