package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
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

// settings are all that rounds can be run in: a promise, a log store, and so many
// nodes.
func settings(o options) ([]chaos.Setup, error) {
	sizes, stores := []int{3, 5}, []string{"bolt", "wal"}
	if o.nodes != 0 {
		sizes = []int{o.nodes}
	}
	if o.store != "" {
		stores = []string{o.store}
	}
	var out []chaos.Setup
	for _, p := range promises(o) {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		for _, store := range stores {
			for _, nodes := range sizes {
				out = append(out, chaos.Setup{
					Promise: p, Nodes: nodes, Store: store, Lasts: time.Duration(o.seconds) * time.Second,
					Load: chaos.DefaultProfile(), Evidence: o.evidence,
				})
			}
		}
	}
	return out, nil
}

// pairsAtATime is how many pairs of nemeses follow on each of them alone.
const pairsAtATime = 21

// nemeses are those of all rounds: the ones that are named, over and over, or each
// alone, then some pairs, and so on.
func nemeses(o options, dice *rand.Rand) ([][]chaos.Fault, error) {
	all := chaos.Faults()
	if o.faults != "" {
		return named(o.faults, all)
	}
	var alone, out [][]chaos.Fault
	for _, f := range all {
		alone = append(alone, []chaos.Fault{f})
	}
	pairs := pairsOf(all)
	dice.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	for len(pairs) > 0 {
		n := min(pairsAtATime, len(pairs))
		out = append(append(out, alone...), pairs[:n]...)
		pairs = pairs[n:]
	}
	return out, nil
}

// named reads "kill,kill+slow".
func named(list string, all []chaos.Fault) ([][]chaos.Fault, error) {
	var out [][]chaos.Fault
	for entry := range strings.SplitSeq(list, ",") {
		words := strings.Split(entry, "+")
		chosen, err := benchmark.Choose(strings.Join(words, ","), all, func(f chaos.Fault) string { return f.Name })
		if err != nil {
			return nil, fmt.Errorf("--faults: %w", err)
		}
		if entry == "" || len(chosen) != len(words) || len(chosen) > 2 {
			return nil, fmt.Errorf("--faults: %q: want a nemesis, or two different ones joined by a plus", entry)
		}
		out = append(out, chosen)
	}
	return out, nil
}

// pairsOf are all pairs, each in the order of all, in which it is printed.
func pairsOf(all []chaos.Fault) [][]chaos.Fault {
	var out [][]chaos.Fault
	for i, a := range all {
		for _, b := range all[i+1:] {
			out = append(out, []chaos.Fault{a, b})
		}
	}
	return out
}

// plan is which rounds to run. Each has a seed of its own, the first one the command
// line's, which also decides which nemeses meet and in which setting: all settings
// come before one comes again.
func plan(o options) ([]chaos.Setup, error) {
	dice := rand.New(rand.NewPCG(o.seed, 0))
	faults, err := nemeses(o, dice)
	if err != nil {
		return nil, err
	}
	all, err := settings(o)
	if err != nil {
		return nil, err
	}
	if o.rounds == 0 {
		o.rounds = len(faults)
		if o.faults == "" {
			o.rounds = len(chaos.Faults())
		}
	}
	var deck []int
	out := make([]chaos.Setup, o.rounds)
	for i := range out {
		if len(deck) == 0 {
			deck = dice.Perm(len(all))
		}
		out[i] = all[deck[0]]
		deck = deck[1:]
		out[i].Nemeses, out[i].Seed = faults[i%len(faults)], o.seed+uint64(i)
	}
	return out, nil
}
