package benchmark

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Written is how many bytes processes have given to be written to disks so far. What
// they wrote over before it went there is counted once.
func Written(pids ...int) (sum int64, err error) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			return 0, err
		}
		_, rest, found := strings.Cut(string(b), "\nwrite_bytes: ")
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.ParseInt(line, 10, 64)
		if !found || err != nil {
			return 0, fmt.Errorf("/proc/%d/io does not tell what was written", pid)
		}
		sum += n
	}
	return sum, nil
}

// Flushes is how often this machine's disks were told so far to write out their
// caches, by all programs: each fsync ends with that, and some share one. Zero where
// the machine does not tell.
func Flushes() (sum int64, err error) {
	// Partitions, and what lies above disks, would be counted twice: only what is a
	// device has this link.
	disks, err := filepath.Glob("/sys/block/*/device")
	if err != nil {
		return 0, err
	}
	for _, d := range disks {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(d), "stat"))
		if errors.Is(err, fs.ErrNotExist) { // it was unplugged
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := flushesIn(string(b))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", d, err)
		}
		sum += n
	}
	return sum, nil
}

// flushesIn reads a disk's statistics (Documentation/block/stat.rst); kernels before
// 5.5 count no flushes.
func flushesIn(stat string) (int64, error) {
	const flushes = 15
	words := strings.Fields(stat)
	if len(words) <= flushes {
		return 0, nil
	}
	return strconv.ParseInt(words[flushes], 10, 64)
}
