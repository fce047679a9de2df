package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// filler writes values of some KiB, each to a key of its own, and remembers those
// that were acknowledged.
type filler struct {
	c     *harness.Cluster
	bytes int
	acked []string
	tried int
}

func (f *filler) value(key string) string { return key + strings.Repeat(".", f.bytes) }

func (f *filler) write() harness.Answer {
	f.c.T.Helper()
	key := fmt.Sprint("fill", f.tried)
	f.tried++
	a := f.c.Do(http.MethodPut, "http://"+f.c.Front+"/kv/"+key, f.value(key))
	if a.Status == http.StatusOK {
		f.acked = append(f.acked, key)
	}
	return a
}

// until writes until done, and no longer than it takes to fill a disk of 256 MiB.
func (f *filler) until(what string, done func() bool) {
	f.c.T.Helper()
	for !done() {
		if f.tried*f.bytes > 256<<20 {
			f.c.T.Fatalf("%d writes, %d acknowledged, and still not %s", f.tried, len(f.acked), what)
		}
		f.write()
	}
}

// noneLost checks that all nodes have all that was acknowledged.
func (f *filler) noneLost() {
	f.c.T.Helper()
	if len(f.acked) == 0 {
		f.c.T.Fatal("no write was acknowledged")
	}
	f.c.WaitSame()
	for _, p := range f.c.Nodes {
		for _, key := range f.acked {
			a := f.c.Do(http.MethodGet, "http://"+p.HTTP+"/kv/"+key+"?consistency=eventual", "", "Accept", "application/octet-stream")
			if a.Status != http.StatusOK || a.Body != f.value(key) {
				f.c.T.Fatalf("acknowledged write %s is lost on %s: %d, %d bytes", key, p.Name, a.Status, len(a.Body))
			}
		}
	}
}

func running(c *harness.Cluster) (n int) {
	for _, p := range c.Nodes {
		if p.Running() {
			n++
		}
	}
	return n
}

// endsOfFullDisk checks that a node has ended, and has said which folder is full and
// what to do.
func endsOfFullDisk(t *testing.T, p *harness.Process) {
	t.Helper()
	if code := p.Wait(); code != 1 {
		t.Errorf("%s exits %d", p.Name, code)
	}
	for _, want := range []string{p.Dir, "MiB free", "make room", "start it again"} {
		if !strings.Contains(p.Log(), want) {
			t.Errorf("%s does not say %q", p.Name, want)
		}
	}
	if strings.Contains(p.Log(), "panic") || strings.Contains(p.Log(), "goroutine ") {
		t.Errorf("%s panicked", p.Name)
	}
}

// One node's disk gets full: the node says so and ends, the others go on, and with
// room it comes back and has everything.
func TestFullDiskOfOneNode(t *testing.T) {
	t.Parallel()
	for _, d := range []struct {
		store      string
		kib, value int
	}{{"bolt", 10 << 10, 64 << 10}, {"wal", 72 << 10, 512 << 10}} {
		t.Run(d.store, func(t *testing.T) {
			t.Parallel()
			disks := newSmallDisks(t)
			c := harness.Prepare(t, harness.Options{NodeArgs: []string{"--log-store", d.store}})
			full := c.Nodes[0]
			disks.mount(full.Dir, d.kib)
			for _, p := range c.All() {
				p.Start()
			}
			c.WaitReady()
			f := &filler{c: c, bytes: d.value}
			f.until("the node has ended", func() bool { return !full.Running() })
			endsOfFullDisk(t, full)
			if d.store == "bolt" { // raft-wal may go on in a segment that could not be made as long as it should be
				full.Start()
				endsOfFullDisk(t, full)
			}
			for range 5 {
				if a := f.write(); a.Status != http.StatusOK {
					t.Errorf("a write while one node's disk is full: %+v", a)
				}
			}
			disks.grow(full.Dir, 512<<10)
			full.Start()
			c.WaitReady()
			f.noneLost()
			t.Logf("%d writes, %d acknowledged", f.tried, len(f.acked))
		})
	}
}

// All disks get full: writes end with an error, and with room on the disks all that
// was acknowledged is there, on every node.
func TestFullDisksOfAllNodes(t *testing.T) {
	t.Parallel()
	disks := newSmallDisks(t)
	c := harness.Prepare(t, harness.Options{NodeArgs: []string{"--log-store", "bolt"}, LBArgs: []string{"--hold-timeout", "1s"}}) // raft-wal would not fit
	for i, p := range c.Nodes {
		disks.mount(p.Dir, (8+i)<<10)
	}
	for _, p := range c.All() {
		p.Start()
	}
	c.WaitReady()
	f := &filler{c: c, bytes: 64 << 10}
	f.until("a majority has ended", func() bool { return running(c) < 2 })
	// The first may still reach the last leader, and is then in doubt.
	harness.Eventually(t, "a write to be refused while two disks of three are full", func() error {
		a := f.write()
		if a.Status == http.StatusOK {
			t.Fatalf("a minority acknowledged a write: %+v", a)
		}
		if a.Status != http.StatusServiceUnavailable {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	for _, p := range c.Nodes {
		if !p.Running() {
			endsOfFullDisk(t, p)
		}
		disks.grow(p.Dir, 128<<10)
		if !p.Running() {
			p.Start()
		}
	}
	c.WaitReady()
	f.noneLost()
	harness.Eventually(t, "a write once there is room", func() error { // on a busy machine nobody may lead for longer than it is held
		if a := f.write(); a.Status != http.StatusOK {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	t.Logf("%d writes, %d acknowledged", f.tried, len(f.acked))
}

// There is room for the log and none for snapshots: writes go on, the node says what
// it could not do and tries again, and nothing is left of what it tried.
func TestFullDiskUnderASnapshot(t *testing.T) {
	t.Parallel()
	disks := newSmallDisks(t)
	c := harness.Prepare(t, harness.Options{Nodes: 1, NodeArgs: []string{
		"--snapshot-threshold", "40", "--snapshot-interval", "20ms", "--trailing-logs", "10",
	}})
	p := c.Nodes[0]
	folder := filepath.Join(p.Dir, "snapshots")
	disks.mount(folder, 256)
	for _, p := range c.All() {
		p.Start()
	}
	c.WaitReady()
	f := &filler{c: c, bytes: 16 << 10}
	tries := func() int { return strings.Count(p.Log(), "failed to take snapshot") }
	f.until("snapshots have failed twice", func() bool { return len(f.acked) > 60 && tries() >= 2 })
	if len(f.acked) != f.tried {
		t.Errorf("%d of %d writes were acknowledged", len(f.acked), f.tried)
	}
	if log := p.Log(); !strings.Contains(log, "make room") || !strings.Contains(log, folder) {
		t.Error("it does not say where to make room")
	}
	if p.Stop() != 0 {
		t.Error("it does not end as it should")
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) > 1 { // an early one may have fitted
		t.Errorf("left behind: %q", left)
	}
	p.Start() // with no more room than before
	c.WaitReady()
	f.noneLost()
	disks.grow(folder, 64<<10)
	harness.Eventually(t, "a snapshot of all of it", func() error {
		var s struct {
			Snapshot struct{ Index, Bytes int64 }
		}
		a := c.Do(http.MethodGet, "http://"+p.Health+"/status", "")
		if err := json.Unmarshal([]byte(a.Body), &s); err != nil || s.Snapshot.Bytes < int64(len(f.acked)*f.bytes) {
			return fmt.Errorf("%+v, %w", s, err)
		}
		return nil
	})
	p.Kill()
	p.Start()
	c.WaitReady()
	f.noneLost()
}
