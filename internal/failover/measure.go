package failover

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/internal/once"
)

// A window runs from lead before a fault to settle after it is healed.
const lead, settle = 100 * time.Millisecond, 2 * time.Second

// firstMoments is how soon after a fault its own stall begins. What is longer later
// is the healing, or the machine.
const firstMoments = 100 * time.Millisecond

// warmUp is how many writes must have succeeded before the first fault.
const warmUp = 200

// Setup is what to measure.
type Setup struct {
	Fault    Fault
	Front    Front
	Attempts int
	Load     Profile
	Testdata string // folder of the rivals' configurations
}

// attempt is one fault, and what it did.
type attempt struct {
	stall    time.Duration // longest time without a successful write in its window
	first    time.Duration // the longest of those that reach into the first moments after the fault
	back     time.Duration // from the start of healing until the cluster is whole
	inFlight int           // writes, when it struck
}

// Measure starts a cluster and a load, causes a fault as often as wanted, and
// checks every key on every node. It fails t only where that cannot be done; what
// the numbers mean is for others to say.
func Measure(t harness.T, s Setup) Row {
	t.Helper()
	l := NewLoad(s.Load)
	t.Cleanup(l.Stop) // after the processes have gone, so that nothing is waited for
	o := s.Fault.Needs
	o.NoLB = s.Front.Rival()
	c := harness.Start(t, o)
	front := s.Front.start(t, c, s.Testdata)
	awaitFront(t, front)
	l.Start(front)
	l.awaitSuccesses(t, warmUp)

	var attempts []attempt
	cpu := benchmark.ReadMachineTime()
	for i := range s.Attempts {
		a := l.attempt(t, c, s.Fault)
		attempts = append(attempts, a)
		t.Logf("%d of %d: stall %v, back after %v", i+1, s.Attempts, a.stall.Round(time.Millisecond), a.back.Round(time.Millisecond))
	}
	stolen := benchmark.ReadMachineTime().StolenSince(cpu)
	l.Stop()
	c.WaitSame()
	losses, err := l.check(c.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	row := newRow(s, attempts, l.tally, l.slowest, losses)
	row.Stolen = math.Round(10*stolen) / 10
	return row
}

// awaitFront waits until a front serves one write after the other: proxies may
// take a while to find the leader, and what they refuse meanwhile is not meant to
// count.
func awaitFront(t harness.T, addr string) {
	t.Helper()
	const inARow = 50
	c := &once.Client{Addr: addr, Timeout: answerTimeout}
	defer c.Close()
	good := 0
	harness.Eventually(t, "writes through "+addr, func() error {
		for ; good < inARow; good++ {
			if a, err := c.Do(http.MethodPut, "/kv/warm-up", nil); once.FateOf(a, err) != once.Acked {
				good = 0
				return fmt.Errorf("%s", once.Reason(a, err))
			}
		}
		return nil
	})
}

// awaitSuccesses waits until n more writes have succeeded.
func (l *Load) awaitSuccesses(t harness.T, n int) {
	t.Helper()
	want := l.succeeded() + n
	harness.Eventually(t, "writes to succeed", func() error { return l.lacks(want) })
}

// attempt causes a fault once.
func (l *Load) attempt(t harness.T, c *harness.Cluster, f Fault) attempt {
	var victim *harness.Process
	if f.Victim != nil {
		victim = f.Victim(c)
	}
	time.Sleep(lead) // windows are lengths of time: here nothing is waited for
	from := time.Since(l.begin) - lead
	a := attempt{inFlight: l.Salvo()}
	f.Strike(c, victim)
	time.Sleep(f.Lasts)
	start := time.Now()
	f.Heal(c, victim)
	a.back = time.Since(start)
	time.Sleep(settle)
	var at time.Duration
	at, a.stall = l.stall(from, time.Since(l.begin))
	a.first = l.stallAt(from+lead, from+lead+firstMoments)
	if most := f.Limit.Max; most > 0 && c.LB != nil && a.stall > most {
		explain(t, c, l.begin.Add(at), a.stall)
	}
	return a
}
