package benchmark

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// Meter reads what a measurement costs whom: the CPU time of some processes, and
// of those that make the load: this one, and those that it started and that have
// ended since.
type Meter struct {
	servers []int // process ids
}

// NewMeter returns a meter for the processes with these ids.
func NewMeter(servers ...int) Meter { return Meter{servers: servers} }

// reading is the CPU time that was spent by then.
type reading struct {
	at            time.Time
	load, servers time.Duration
	written       int64 // bytes, by the processes
	flushes       int64 // of all disks
	machine       MachineTime
}

// Use is the CPU time that was spent between two readings.
type Use struct {
	Took    time.Duration // from one to the other
	Load    float64       // by who makes the load, in cores: 1 is all the time of one
	Servers float64       // by the processes, in cores
	Others  float64       // by all else on this machine, in cores: it should do nothing else
	Stolen  float64       // by other machines on the same host, in percent of all cores
	Written float64       // by the processes to disks, in bytes a second
	Flushes float64       // of the machine's disks, a second; whoever asked for them
}

func (m Meter) read() (reading, error) {
	r := reading{at: time.Now(), machine: ReadMachineTime()}
	for _, pid := range m.servers {
		t, err := processTime(pid)
		if err != nil {
			return r, fmt.Errorf("CPU time of process %d, which may have ended: %w", pid, err)
		}
		r.servers += t
	}
	var err error
	if r.written, err = Written(m.servers...); err != nil {
		return r, fmt.Errorf("what was written: %w", err)
	}
	if r.flushes, err = Flushes(); err != nil {
		return r, fmt.Errorf("flushes of disks: %w", err)
	}
	for _, who := range [...]int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var own syscall.Rusage
		if err := syscall.Getrusage(who, &own); err != nil {
			return r, fmt.Errorf("CPU time of this process: %w", err)
		}
		r.load += time.Duration(own.Utime.Nano() + own.Stime.Nano())
	}
	return r, nil
}

func (r reading) since(then reading) Use {
	passed := r.at.Sub(then.at).Seconds()
	u := Use{
		Took:    r.at.Sub(then.at),
		Load:    (r.load - then.load).Seconds() / passed,
		Servers: (r.servers - then.servers).Seconds() / passed,
		Stolen:  r.machine.StolenSince(then.machine),
		Written: float64(r.written-then.written) / passed,
		Flushes: float64(r.flushes-then.flushes) / passed,
	}
	u.Others = max(r.machine.BusySince(then.machine)*float64(runtime.NumCPU())-u.Load-u.Servers, 0)
	return u
}

// Over measures while wait waits.
func (m Meter) Over(wait func()) (Use, error) {
	before, err := m.read()
	if err != nil {
		return Use{}, err
	}
	wait()
	after, err := m.read()
	if err != nil {
		return Use{}, err
	}
	return after.since(before), nil
}
