package benchmark

import (
	"os"
	"strconv"
	"strings"
)

// MachineTime is what all cores together have spent since the machine started, in
// clock ticks. Zero where the system does not tell.
type MachineTime struct{ all, idle, stolen uint64 }

// ReadMachineTime reads it (man 5 proc_stat: user, nice, system, idle, iowait, irq,
// softirq, steal; guest time is in user and nice already).
func ReadMachineTime() (t MachineTime) {
	const idle, wait, steal, fields = 3, 4, 7, 8
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(b), "\n")
	words := strings.Fields(line)
	if len(words) <= fields || words[0] != "cpu" {
		return t
	}
	for i, w := range words[1 : fields+1] {
		n, err := strconv.ParseUint(w, 10, 64)
		if err != nil {
			return MachineTime{}
		}
		t.all += n
		switch i {
		case idle, wait:
			t.idle += n
		case steal:
			t.stolen = n
		}
	}
	return t
}

// BusySince is how much of the machine's time its own processes took since then,
// from 0 to 1.
func (t MachineTime) BusySince(then MachineTime) float64 {
	if t.all <= then.all {
		return 0
	}
	return 1 - float64(t.idle-then.idle+t.stolen-then.stolen)/float64(t.all-then.all)
}

// StolenSince is how much of the machine's time other machines on the same host
// took since then, in percent: nobody else's work explains a stall better.
func (t MachineTime) StolenSince(then MachineTime) float64 {
	if t.all <= then.all {
		return 0
	}
	return 100 * float64(t.stolen-then.stolen) / float64(t.all-then.all)
}
