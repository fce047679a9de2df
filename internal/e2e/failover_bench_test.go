package e2e

import (
	"testing"
	"time"

	"github.com/dengine/dengine/internal/failover"
	"github.com/dengine/dengine/internal/harness"
)

// replayed says that the balancer replays what was in flight and that nodes
// notice hung and failed disks: then no fault fails a write, and those of the
// disk can be caused. Until then only what was acknowledged is checked.
const replayed = true

// TestFaults is the short version of "make failover": each fault once or twice,
// with no eye on time.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range failover.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			if (f.Needs.Faults || f.Needs.NodeArgs != nil) && !replayed {
				t.Skip("the nodes cannot do this yet")
			}
			f.Lasts = min(f.Lasts, 2*time.Second)
			row := measure(t, f, 1)
			if row.Lost+row.Doubled+row.Misreported > 0 || (replayed && row.Bad()) {
				t.Errorf("%+v", row)
			}
			if row.Writes == 0 || row.Reads == 0 || row.InFlight < 16 {
				t.Errorf("no load to speak of: %+v", row)
			}
		})
	}
}

// Without identities a replay is a second execution, and the benchmark must see
// it: otherwise it would not see one that slips past them either.
func TestFaultsSeeDoubledWrites(t *testing.T) {
	t.Parallel()
	if !replayed {
		t.Skip("nothing is replayed yet")
	}
	f, err := failover.Find("mute-leader")
	if err != nil {
		t.Fatal(err)
	}
	f.Needs.NodeEnv = []string{"DENGINE_FAULT_NO_IDENTITIES=1"}
	if row := measure(t, f, 2); row.Doubled == 0 || row.Lost > 0 {
		t.Errorf("writes that were applied and not answered were replayed without identities: %+v", row)
	}
}

func measure(t *testing.T, f failover.Fault, attempts int) failover.Row {
	t.Helper()
	load := failover.Profile{Writes: 200, Reads: 50, InFlight: 4096, Salvo: 24, Counters: 16, Value: 256}
	if harness.Race { // what a busy machine cannot take is not sent: the balancer would have to refuse it
		load.Writes, load.Reads, load.InFlight = 50, 20, 256
	}
	f.Needs.LBArgs = append(f.Needs.LBArgs, "--hold-timeout", "50s", "--read-timeout", "50s") // it may take long to elect
	return failover.Measure(t, failover.Setup{Fault: f, Front: failover.Fronts()[0], Attempts: attempts, Load: load})
}
