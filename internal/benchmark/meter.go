package benchmark

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Meter reads what a measurement costs whom: the CPU time of some processes, and
// of this one, which makes the load.
type Meter struct {
	servers []int // process ids
}

// NewMeter returns a meter for the processes with these ids.
func NewMeter(servers ...int) Meter { return Meter{servers: servers} }

// reading is the CPU time that was spent by then.
type reading struct {
	at            time.Time
	load, servers time.Duration
	machine       MachineTime
}

// Use is the CPU time that was spent between two readings.
type Use struct {
	Load    float64 // by this process, in cores: 1 is all the time of one
	Servers float64 // by the processes, in cores
	Others  float64 // by all else on this machine, in cores: it should do nothing else
	Stolen  float64 // by other machines on the same host, in percent of all cores
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
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return r, fmt.Errorf("CPU time of this process: %w", err)
	}
	r.load = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return r, nil
}

func (r reading) since(then reading) Use {
	passed := r.at.Sub(then.at).Seconds()
	u := Use{
		Load:    (r.load - then.load).Seconds() / passed,
		Servers: (r.servers - then.servers).Seconds() / passed,
		Stolen:  r.machine.StolenSince(then.machine),
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

// processTime is the CPU time that a process has spent in user and system mode
// (man 5 proc_pid_stat). Its second field is a name that may hold anything, a
// closing bracket too.
func processTime(pid int) (time.Duration, error) {
	const utime, stime, tick = 11, 12, 10 * time.Millisecond // counted from the third field; Linux shows ticks of 100 Hz
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	words := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(words) <= stime {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields after the name", pid, len(words))
	}
	var sum time.Duration
	for _, w := range words[utime : stime+1] {
		n, err := strconv.ParseUint(w, 10, 63)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
