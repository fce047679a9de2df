package chaos

import (
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := WriteTable(&out, []Row{
		{
			Level: "lease", Fault: "kill", Nodes: 3, Store: "wal", Seed: 7, Operations: 9, PerSecond: 3, Healthy: 4, Reads: 5, Leased: 4, Acked: 3, Unknown: 1,
			Elections: 2, Faults: 2, Stall: 1500 * time.Millisecond, Verdict: Kept, Reasons: map[string]int{"read: EOF": 6},
		},
		Unfinished(Setup{Promise: Promise{Level: "eventual", MaxStaleness: time.Second}, Nemeses: []Fault{{Name: "pause"}, {Name: "slow"}}, Nodes: 5, Seed: 8}, "no leader"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `| round | fault | level | nodes | store | operations | ops/s | healthy ops/s | reads | leased | acknowledged writes | unknown outcomes | elections | faults caused | longest stall | seed | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| 1 | kill | lease | 3 | wal | 9 | 3 | 4 | 5 | 4 | 3 | 1 | 2 | 2 | 1.50 s | 7 | OK |
| 2 | pause+slow | eventual, 1s | 5 | bolt | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0.00 s | 8 | FAILED |

- round 1: 6 × read: EOF
- round 2: it did not come to its end: no leader
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	row := func(fault, level string, seed uint64, stall time.Duration, verdict string) Row {
		return Row{
			Level: level, Fault: fault, Nodes: 3, Store: "bolt", Seed: seed, Operations: 10, Acked: 4, Unknown: 1,
			Elections: 2, Faults: 3, Healthy: 100, Stall: stall, Verdict: verdict,
		}
	}
	var out strings.Builder
	s := Summary{Command: "make chaos ROUNDS=4", Rows: []Row{
		row("pause", "lease", 1, time.Second, Kept),
		row("kill", "lease", 2, time.Second, Kept),
		row("kill+pause", "linearizable", 3, 3*time.Second, "k|1: lost"),
		row("pause", "linearizable", 4, 2*time.Second, Kept),
	}}
	if err := s.Write(&out); err != nil {
		t.Fatal(err)
	}
	want := "# Chaos\n\nWritten by `make chaos ROUNDS=4`. A round with seed N alone: the same, with ROUNDS=1, SEED=N, and what its line says of " +
		"FAULTS, LEVEL, STALENESS, NODES and STORE.\n" + `
4 rounds, 1 of them not as promised; 1 different pairs of nemeses; 12 faults, 8 elections. 40 operations, 16 acknowledged writes, 4 outcomes unknown; before the first fault of a round 100 operations a second (median).

## Nemeses alone

| nemesis | rounds | not as promised | faults | operations | acknowledged writes | unknown outcomes | elections | longest stall |
|---|---|---|---|---|---|---|---|---|
| kill | 1 | 0 | 3 | 10 | 4 | 1 | 2 | 1.00 s |
| pause | 2 | 0 | 6 | 20 | 8 | 2 | 4 | 2.00 s |

## Two at once

| nemesis | rounds | not as promised | faults | operations | acknowledged writes | unknown outcomes | elections | longest stall |
|---|---|---|---|---|---|---|---|---|
| kill+pause | 1 | 1 | 3 | 10 | 4 | 1 | 2 | 3.00 s |

## What they do

` + "- `kill`: SIGKILL of the leader\n- `pause`: SIGSTOP of a node for 0.5 to 5 s\n" + `
## Settings

| reads; cluster | rounds | not as promised | faults | operations | acknowledged writes | unknown outcomes | elections | longest stall |
|---|---|---|---|---|---|---|---|---|
| lease; 3 nodes, bolt | 2 | 0 | 6 | 20 | 8 | 2 | 4 | 1.00 s |
| linearizable; 3 nodes, bolt | 2 | 1 | 6 | 20 | 8 | 2 | 4 | 3.00 s |

## Rounds

| seed | nemesis | reads | nodes | store | operations | acknowledged | unknown | longest stall | verdict |
|---|---|---|---|---|---|---|---|---|---|
| 1 | pause | lease | 3 | bolt | 10 | 4 | 1 | 1.00 s | OK |
| 2 | kill | lease | 3 | bolt | 10 | 4 | 1 | 1.00 s | OK |
| 3 | kill+pause | linearizable | 3 | bolt | 10 | 4 | 1 | 3.00 s | **k\|1: lost** |
| 4 | pause | linearizable | 3 | bolt | 10 | 4 | 1 | 2.00 s | OK |
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// A stall lasts from the first write that waited, or the last that was acknowledged,
// to the next that is acknowledged.
func TestLongestStall(t *testing.T) {
	t.Parallel()
	const s = time.Second
	put := func(at string, call, ret time.Duration, r Result) Op {
		return Op{At: at, Kind: Put, Call: call, Return: ret, Result: r}
	}
	for name, tt := range map[string]struct {
		h    []Op
		want time.Duration
	}{
		"nothing":            {nil, 0},
		"one write":          {[]Op{put("lb", s, 3*s, OK)}, 2 * s},
		"nobody waited":      {[]Op{put("lb", 0, s, OK), put("lb", 9*s, 10*s, OK)}, s},
		"one waited":         {[]Op{put("lb", 0, s, OK), put("lb", 0, 4*s, OK)}, 3 * s},
		"waited in turn":     {[]Op{put("lb", s, Never, Unknown), put("lb", 5*s, 8*s, OK)}, 7 * s},
		"gave up in between": {[]Op{put("lb", s, 2*s, OK), put("lb", s, Never, Unknown), put("lb", 20*s, 21*s, OK)}, 19 * s},
		"never ended":        {[]Op{put("lb", s, Never, Unknown), put("n1", 4*s, 5*s, OK)}, 3 * s},
		"not the balancer's": {[]Op{put("n1", 0, 9*s, OK), put("lb", 0, s, OK)}, s},
		"reads":              {[]Op{{At: "lb", Kind: Read, Call: 0, Return: 9 * s, Result: OK}}, 0},
	} {
		if got := longestStall(tt.h); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
