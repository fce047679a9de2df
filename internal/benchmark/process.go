package benchmark

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// processTime is the CPU time that a process has spent in user and system mode,
// all its threads together.
func processTime(pid int) (time.Duration, error) {
	const utime, stime, tick = 11, 12, 10 * time.Millisecond // Linux shows ticks of 100 Hz
	words, err := processStat(pid)
	if err != nil {
		return 0, err
	}
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

// processStat are the fields of man 5 proc_pid_stat, from the third one on: the
// second is a name that may hold anything, a closing bracket too.
func processStat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])), nil
}

// Family are a process and those that it has started and that still run: nginx does
// its work in others.
func Family(pid int) ([]int, error) {
	const parent = 1
	if _, err := processStat(pid); err != nil {
		return nil, err
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	out := []int{pid}
	for _, e := range all {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		words, err := processStat(child)
		if err == nil && len(words) > parent && words[parent] == strconv.Itoa(pid) {
			out = append(out, child)
		}
	}
	return out, nil
}

// Resident is the memory, in bytes, that processes hold. What they share, as nginx's
// do, is counted for each.
func Resident(pids ...int) (sum int, err error) {
	const resident = 1 // man 5 proc_pid_statm, in pages
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0, err
		}
		words := strings.Fields(string(b))
		if len(words) <= resident {
			return 0, fmt.Errorf("/proc/%d/statm has %d fields", pid, len(words))
		}
		pages, err := strconv.Atoi(words[resident])
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/statm: %w", pid, err)
		}
		sum += pages * os.Getpagesize()
	}
	return sum, nil
}
