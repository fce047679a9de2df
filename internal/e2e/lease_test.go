package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// leaseTries is how often a leader is stopped between the check of its lease and
// the answer; DENGINE_LEASE_TRIES overrides it.
const leaseTries = 20

// A leader's process is stopped after it has found its lease valid and before it
// reads the value. Another leader is elected and writes. What the first one answers
// when it goes on must not be the old value.
func TestStoppedInsideALease(t *testing.T) {
	t.Parallel()
	tries := leaseTries
	if s := os.Getenv("DENGINE_LEASE_TRIES"); s != "" {
		var err error
		if tries, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	c := harness.Start(t, harness.Options{Faults: true, NoLB: true, NodeArgs: []string{
		"--crash-detection=false", "--lease-timeout", "300ms",
	}})
	outcomes := map[string]int{}
	for i := range tries {
		old, fresh := fmt.Sprint("old", i), fmt.Sprint("new", i)
		c.Put("k", old)
		leader, read := stopInLease(t, c), make(chan string, 1)
		go func() { read <- leaseRead(c, leader) }()
		harness.Eventually(t, "the leader to stop in its lease", func() error {
			err := stopped(leader)
			if err == nil {
				return nil
			}
			select {
			case <-read: // a busy machine has cost it the lease
				setFault(t, leader, "")
				now := stopInLease(t, c)
				leader = now
				go func() { read <- leaseRead(c, now) }()
			default:
			}
			return err
		})
		next := leader
		harness.Eventually(t, "a write at a new leader", func() error { // which a busy machine may replace at once
			next = otherLeader(c, leader)
			if a, err := c.Try(http.MethodPut, "http://"+next.HTTP+"/kv/k", fresh); err != nil || a.Status != http.StatusOK {
				return fmt.Errorf("%+v, %w", a, err)
			}
			return nil
		})
		leader.Signal(syscall.SIGCONT)
		got := <-read
		if strings.Contains(got, old) {
			t.Fatalf("try %d: %s answered %s after %s had acknowledged %q", i, leader.Name, got, next.Name, fresh)
		}
		status, _, _ := strings.Cut(got, " ")
		outcomes[status]++
		c.WaitReady()
	}
	t.Logf("%d tries, by status: %v", tries, outcomes)
}

// stopInLease has the leader's next read under its lease stop the process.
func stopInLease(t *testing.T, c *harness.Cluster) *harness.Process {
	t.Helper()
	leader := c.Leader()
	harness.Eventually(t, "the leader to have a lease", func() error {
		before, err := c.Metric(leader, "dengine_node_reads_leased_total")
		if err != nil {
			return err
		}
		leaseRead(c, leader)
		if after, err := c.Metric(leader, "dengine_node_reads_leased_total"); err != nil || after <= before {
			return fmt.Errorf("%v reads under a lease, %v", after, err)
		}
		return nil
	})
	setFault(t, leader, "pause-in-lease")
	return leader
}

// leaseRead is the status and the body of a read at the level lease.
func leaseRead(c *harness.Cluster, p *harness.Process) string {
	a, err := c.Try(http.MethodGet, "http://"+p.HTTP+"/kv/k?consistency=lease", "")
	if err != nil {
		return "none " + err.Error()
	}
	return fmt.Sprint(a.Status, " ", a.Body)
}

// pause stops a process, and returns once it is: on a busy machine it goes on for a
// while after the signal.
func pause(t *testing.T, p *harness.Process) {
	t.Helper()
	p.Signal(syscall.SIGSTOP)
	harness.Eventually(t, p.Name+" to be stopped", func() error { return stopped(p) })
}

// stopped returns nil once a process is stopped by a signal, all of it.
func stopped(p *harness.Process) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	if err != nil || len(threads) == 0 {
		return fmt.Errorf("%s has no threads: %w", p.Name, err)
	}
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(b), ") ") // after the program's name
		if !strings.HasPrefix(rest, "T") {
			return fmt.Errorf("the state of a thread is %.1s", rest)
		}
	}
	return nil
}
