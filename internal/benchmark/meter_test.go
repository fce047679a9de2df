package benchmark_test

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
)

// What burns CPU is seen, as this process's and as a server's: here they are one,
// read from two places. It runs alone: what another test starts and sees end
// meanwhile is this process's load too, and not the server's.
func TestMeterSeesWork(t *testing.T) {
	use, err := benchmark.NewMeter(os.Getpid()).Over(func() {
		for end := burnt(t) + 200*time.Millisecond; burnt(t) < end; { // of CPU time: others may be busy too
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if use.Load <= 0 || use.Servers < use.Load/2 || use.Servers > use.Load*2 {
		t.Errorf("%+v", use)
	}
	if _, err := benchmark.NewMeter(1 << 30).Over(func() {}); err == nil {
		t.Error("a process that is not there costs nothing, says the meter")
	}
}

// burnt is the CPU time of this process so far.
func burnt(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The CPU time of a load that runs as a program of its own is the load's.
func TestMeterSeesWorkOfWhatHasEnded(t *testing.T) {
	t.Parallel()
	child := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	var err error
	use, meterErr := benchmark.NewMeter().Over(func() { err = child.Run() })
	if err := errors.Join(err, meterErr); err != nil {
		t.Fatal(err)
	}
	took := child.ProcessState.UserTime()
	if load := time.Duration(use.Load * float64(use.Took)); load < took {
		t.Errorf("%v of CPU time, and the program alone took %v", load, took)
	}
}
