package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

const writerCount = 16

// Only what was in flight to a killed leader may fail; everything else is held
// and succeeds, and nothing that was acknowledged is missing anywhere.
func TestLeaderKilledUnderLoad(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{})
	w := startWriters(c, c.Front, writerCount)
	w.progress(200)
	const kills = 3
	for range kills {
		leader := c.Leader()
		leader.Kill()
		w.progress(200)
		leader.Start()
		c.WaitReady()
		w.progress(100)
	}
	w.stopAndWait()
	w.onlyInDoubt(t, kills*writerCount)
	w.noneLost(t)
}

func TestFollowerKilledUnderLoad(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{})
	w := startWriters(c, c.Front, writerCount)
	var reads, badReads atomic.Int64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := c.Try(http.MethodGet, "http://"+c.Front+"/kv/w0-0", "")
				reads.Add(1)
				// A follower may not have the first write yet: 404 is an answer.
				if err != nil || (a.Status != 200 && a.Status != 404) {
					badReads.Add(1)
					t.Errorf("read: %+v, %v", a, err)
				}
			}
		})
	}
	w.progress(200)
	f := c.Followers()[0]
	f.Kill()
	w.progress(200)
	f.Start()
	c.WaitReady()
	w.progress(100)
	w.stopAndWait()
	close(stop)
	readers.Wait()
	if reads.Load() == 0 || badReads.Load() > 0 {
		t.Errorf("%d of %d reads failed", badReads.Load(), reads.Load())
	}
	w.onlyInDoubt(t, 0)
	w.noneLost(t)
}

func TestMajorityKilledAndBack(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{LBArgs: []string{"--hold-timeout", "1s"}})
	front := "http://" + c.Front + "/kv/a"
	becomes(c, http.MethodPut, front, "v", 200, "") // on a busy machine nobody may lead for longer than a write is held
	for _, p := range c.Followers() {
		p.Kill()
	}
	// The first may still have reached the leader, and is then in doubt.
	harness.Eventually(t, "writes to be held and refused", func() error {
		start := time.Now()
		a := c.Do(http.MethodPut, front, "v")
		if a.Status == 200 {
			t.Fatalf("a minority acknowledged a write: %+v", a)
		}
		if a.Status != 503 {
			return fmt.Errorf("%+v", a)
		}
		if a.Header.Get("Retry-After") == "" || a.Header.Get("Dengine-Outcome") != "not-applied" || !strings.Contains(a.Body, "no_leader") {
			t.Errorf("refused with %+v", a)
		}
		if held := time.Since(start); held < time.Second {
			t.Errorf("refused after %v, it should have been held for 1s", held)
		}
		return nil
	})
	for _, p := range c.Nodes {
		if !p.Running() {
			p.Start()
		}
	}
	c.WaitReady()
	becomes(c, http.MethodPut, front, "v", 200, "")
}

func TestAllRestarted(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"bolt", "wal"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			allRestarted(t, harness.Start(t, harness.Options{NodeArgs: []string{"--log-store", store}}))
		})
	}
}

func allRestarted(t *testing.T, c *harness.Cluster) {
	w := startWriters(c, c.Front, writerCount)
	w.progress(500)
	for _, p := range c.Nodes {
		p.Kill()
	}
	for _, p := range c.Nodes {
		p.Start()
	}
	c.WaitReady()
	w.progress(100)
	w.stopAndWait()
	w.onlyInDoubt(t, writerCount)
	w.noneLost(t)
}

// A write that is held while its client goes away is not applied.
func TestHeldWriteOfGoneClient(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{LBArgs: []string{"--hold-timeout", "60s"}}) // a busy machine takes its time to start three nodes
	for _, p := range c.Nodes {
		pause(t, p)
	}
	for _, p := range c.Nodes {
		p.Kill()
	}
	harness.Eventually(t, "the balancer to see no leader", func() error {
		a := c.Do(http.MethodGet, "http://"+c.Admin+"/readyz", "")
		if a.Status != 503 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	client := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequest(http.MethodPut, "http://"+c.Front+"/kv/gone", strings.NewReader("v"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Fatalf("answered with %s while there was no leader", resp.Status)
	}
	stays := make(chan harness.Answer, 1)
	go func() {
		a, _ := c.Try(http.MethodPut, "http://"+c.Front+"/kv/stays", "v") // a failure shows in the status
		stays <- a
	}()
	for _, p := range c.Nodes {
		p.Start()
	}
	c.WaitReady()
	if a := <-stays; a.Status != 200 {
		t.Errorf("the held write of a client that waited: %+v", a)
	}
	if a := c.Do(http.MethodGet, "http://"+c.Leader().HTTP+"/kv/gone", ""); a.Status != 404 {
		t.Errorf("the held write of a client that left was applied: %+v", a)
	}
}

// A leader that was stopped for longer than an election must not call itself
// primary when it goes on, not even for the first request.
func TestPausedLeaderKnows(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true})
	for range 5 {
		old := c.Leader()
		before, err := c.Role(old)
		if err != nil {
			t.Fatal(err)
		}
		pause(t, old)
		var now *harness.Process
		harness.Eventually(t, "another leader", func() error {
			for _, p := range c.Nodes {
				if p == old {
					continue
				}
				if r, err := c.Role(p); err == nil && r.Primary && r.Term > before.Term {
					now = p
					return nil
				}
			}
			return fmt.Errorf("none yet")
		})
		old.Signal(syscall.SIGCONT)
		for range 50 {
			a, err := c.Try(http.MethodGet, "http://"+old.Health+"/primary", "")
			if err != nil {
				t.Fatal(err)
			}
			if a.Status == 200 && a.Header.Get("Dengine-Term") == fmt.Sprint(before.Term) {
				t.Fatalf("%s was resumed and calls itself primary of term %d; %s leads", old.Name, before.Term, now.Name)
			}
		}
		c.WaitReady()
	}
}

// A node whose folder was emptied says what happened and does not vote.
func TestWipedNode(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: patient})
	w := startWriters(c, c.Leader().HTTP, 4)
	w.progress(100)
	w.stopAndWait()
	wiped := c.Followers()[0]
	wiped.Kill()
	if err := os.RemoveAll(wiped.Dir); err != nil {
		t.Fatal(err)
	}
	wiped.Start()
	harness.Eventually(t, "the wiped node to say so", func() error {
		if a, err := c.Try(http.MethodGet, "http://"+wiped.Health+"/readyz", ""); err != nil || a.Status != 503 || !strings.Contains(a.Body, "lost its memory") {
			return fmt.Errorf("%+v, %w", a, err)
		}
		for _, what := range []string{"dengine-node remove " + wiped.Name + " --at ", "--join"} {
			if !strings.Contains(wiped.Log(), what) {
				return fmt.Errorf("its log does not say how to come back: no %q", what)
			}
		}
		return nil
	})
	c.Put("b", "the other two go on")
	leader := c.Leader()
	leader.Kill()
	leader.Start()
	harness.Eventually(t, "the two that remember to lead", func() error {
		for _, p := range c.Nodes {
			if r, err := c.Role(p); err == nil && r.Primary && p != wiped {
				return nil
			}
		}
		return fmt.Errorf("no leader")
	})
	for _, p := range c.Nodes {
		if p == wiped {
			continue
		}
		for _, key := range w.keys {
			harness.Eventually(t, "every acknowledged write", func() error {
				if a := c.Do(http.MethodGet, "http://"+p.HTTP+"/kv/"+key, ""); a.Status != 200 {
					return fmt.Errorf("%s on %s: %+v", key, p.Name, a)
				}
				return nil
			})
		}
	}
}

func TestStopsCleanly(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{})
	for _, p := range []*harness.Process{c.LB, c.Followers()[0], c.Leader()} {
		if code := p.Stop(); code != 0 {
			t.Errorf("%s exits %d on SIGTERM; its log:\n%s", p.Name, code, p.Log())
		}
	}
}
