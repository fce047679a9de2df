package main

import (
	"os/exec"
	"slices"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
	"go.etcd.io/etcd/api/v3/version"
)

// writerCounts are how many writes are in flight.
var writerCounts = [...]int{1, 16, 64, 256, 1000}

// logStores are those that a node may have.
var logStores = [...]string{"bolt", "wal"}

const throughBalancer = "the balancer"

// patient keeps the leader where it is, whatever else the machine does.
var patient = []string{"--heartbeat-timeout", "1s", "--election-timeout", "1s", "--lease-timeout", "1s"}

// writePart compares durable writes with etcd's.
func writePart() part {
	return part{
		name: "writes", seconds: 3, groups: writeGroups(), promises: writePromises,
		look: lookForWriters, tables: writeTables,
	}
}

// lookForWriters says what else there is. rqlite has no package that could be part of
// this program, as etcd is.
func lookForWriters() (map[string]string, []string) {
	absent := "rqlite: nothing here starts it, so that there is no ratio to it"
	if path, err := exec.LookPath("rqlited"); err == nil {
		absent += ", though there is " + path
	}
	return map[string]string{"etcd": version.Version}, []string{absent}
}

func writeGroups() []group {
	out := []group{{"load", measureWriteLoad}, {"etcd-writes", measureEtcdWrites}}
	for _, store := range logStores {
		out = append(out, group{store, func(b *bench, t harness.T) { measureStore(b, t, store) }})
	}
	return out
}

func writeKey(system, at string, n int) benchmark.Key {
	return benchmark.Key{System: system, What: "writes", At: at, Connections: n}
}

func storeSystem(store string) string { return "dengine, " + store }

// measureStore writes to nodes with a log store, directly and through the balancer,
// side by side.
func measureStore(b *bench, t harness.T, store string) {
	d := &dengine{Cluster: harness.Start(t, harness.Options{NodeArgs: append([]string{"--log-store", store}, patient...)})}
	harness.Eventually(t, "every key in dengine", func() error { return d.fill(t) })
	d.look()
	ways := []string{atLeader, throughBalancer}
	if b.round%2 == 0 { // who comes first is no better off in the end
		slices.Reverse(ways)
	}
	for _, n := range writerCounts {
		for _, way := range ways {
			at, c := d.leader, cluster(d)
			if way == throughBalancer {
				at, c = d.LB, balanced{d}
			}
			b.measure(t, c, d.writesAt(t, n, at, value).as(writeKey(storeSystem(store), way, n)))
		}
	}
	for _, p := range d.All() { // the next is measured alone
		p.Kill()
	}
}

// balanced is a cluster with its balancer.
type balanced struct{ *dengine }

func (b balanced) pids() []int { return append(b.dengine.pids(), b.LB.PID()) }

func measureEtcdWrites(b *bench, t harness.T) {
	e := startEtcd(t)
	for _, n := range writerCounts {
		b.measure(t, e, e.writes(t, n).as(writeKey("etcd", atLeader, n)))
	}
}

// measureWriteLoad finds what the load can do: the same requests at a server that
// does nothing.
func measureWriteLoad(b *bench, t harness.T) {
	addr := harness.FreePorts(t, 1)[0]
	p := harness.Foreign(t, t.TempDir(), executable(t), []string{plainCommand, "--listen", addr})
	p.Name, p.HTTP = "plain", addr
	harness.AwaitPort(t, "the trivial server", addr)
	s := trivial{p}
	for _, n := range writerCounts {
		load := connected(t, n, []*harness.Process{p}, func(c *client, _ int) func() error {
			return func() error {
				_, err := c.send(plainHealth, value)
				return err
			}
		})
		b.measure(t, s, load.as(writeKey("the load alone", "a trivial server", n)))
	}
}

// trivial is one server that nobody leads.
type trivial struct{ *harness.Process }

func (s trivial) pids() []int { return []int{s.PID()} }

func (trivial) steady(harness.T) error { return nil }
