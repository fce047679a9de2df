package node_test

import (
	"bytes"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
)

// What others send to a node whose disk hangs must not gather there: each of
// their tries would cost it a connection and up to MaxAppendBytes of memory.
func TestNothingGathersAtAHungDisk(t *testing.T) {
	c := startCluster(t, 3, func(cfg *node.Config) {
		cfg.RPCTimeout, cfg.DiskTimeout = 200*time.Millisecond, 300*time.Millisecond
	})
	l := c.leader()
	f := c.others(l)
	release := c.nodes[f[0]].HangLog()
	if !c.nodes[f[1]].TimeoutNow() { // a new term, so that heartbeats wait for raft too
		t.Fatal("raft takes no TimeoutNow")
	}
	time.Sleep(4 * time.Second)
	if n := waitingRPCs(); n > 3 {
		t.Errorf("%d RPCs wait for a raft that is stuck", n)
	}
	release()
	c.leader()
	c.sameState()
}

func waitingRPCs() (n int) {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 2)
	for g := range strings.SplitSeq(b.String(), "\n\n") {
		if state, _, _ := strings.Cut(g, "\n"); strings.Contains(state, "select") && strings.Contains(g, "handleCommand") {
			n++
		}
	}
	return n
}
