package node_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
	"go.uber.org/zap"
)

// BenchmarkRestart is how long one node with a million keys takes from its start until
// it is ready, with all of them in its log or in a snapshot:
//
//	go test -run xxx -bench Restart -benchtime 3x ./node
func BenchmarkRestart(b *testing.B) {
	const keys, writers = 1_000_000, 256
	for name, threshold := range map[string]uint64{"log": 1 << 40, "snapshot": 1000} {
		b.Run(name, func(b *testing.B) {
			cfg := aloneConfig(b)
			cfg.SnapshotThreshold, cfg.SnapshotInterval = threshold, time.Second
			n := openReady(b, cfg)
			var all sync.WaitGroup
			value := []byte(strings.Repeat("v", 256))
			for w := range writers {
				all.Go(func() {
					for i := w; i < keys; i += writers {
						if _, err := n.Put(b.Context(), fmt.Appendf(nil, "key%08d", i*7919%keys), value, node.Condition{}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			time.Sleep(5 * cfg.SnapshotInterval) // the last one
			shut(b, n)
			for b.Loop() {
				n = openReady(b, cfg)
				b.StopTimer()
				if n.Status().Keys != keys {
					b.Fatalf("%d keys", n.Status().Keys)
				}
				shut(b, n)
				b.StartTimer()
			}
		})
	}
}

func aloneConfig(tb testing.TB) node.Config {
	cfg := node.DefaultConfig()
	cfg.ID, cfg.DataDir = "n1", tb.TempDir()
	cfg.RaftListen, cfg.HTTPListen, cfg.HealthListen = "127.0.0.1:0", "", ""
	cfg.InitialCluster = []node.Member{{ID: "n1", Raft: "127.0.0.1:9"}} // nobody dials it
	return cfg
}

func openReady(tb testing.TB, cfg node.Config) *node.Node {
	tb.Helper()
	n, err := node.Open(cfg, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !n.Report().Ready; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatal("it is not ready")
		}
	}
	return n
}

func shut(tb testing.TB, n *node.Node) {
	tb.Helper()
	if err := n.Close(); err != nil {
		tb.Fatal(err)
	}
}
