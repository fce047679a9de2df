package main

import (
	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
	"go.etcd.io/etcd/api/v3/version"
)

// writerCounts are how many writes are in flight.
var writerCounts = [...]int{1, 16, 64, 256, 1000}

// logStores are those that a node may have.
var logStores = [...]string{"bolt", "wal"}

const (
	throughBalancer     = "the balancer"
	atLeaderMultiplexed = atLeader + ", over as many connections as etcd's"
)

// patient keeps the leader where it is, whatever else the machine does.
var patient = []string{"--heartbeat-timeout", "1s", "--election-timeout", "1s", "--lease-timeout", "1s"}

// writePart compares durable writes with etcd's.
func writePart() part {
	return part{
		name: "writes", seconds: 3, groups: writeGroups(), promises: writePromises,
		look: lookForWriters, tables: writeTables,
	}
}

// lookForWriters says which others there are: etcd is a part of this program.
func lookForWriters() (versions map[string]string, absent []string) {
	versions = map[string]string{"etcd": version.Version}
	absent = []string{"no ratio to upstream d-engine: it is a Rust library, and no program of it is installed"}
	v, err := harness.Version(rqlited, "-version")
	if err != nil {
		return versions, append(absent, "no "+rqlited+" in PATH, so that there is no ratio to rqlite: its releases have it")
	}
	versions["rqlite"] = v
	return versions, absent
}

func writeGroups() []group {
	return []group{{"load", measureWriteLoad}, {"durable", measureWrites}}
}

func writeKey(system, at string, n int) benchmark.Key {
	return benchmark.Key{System: system, What: "writes", At: at, Connections: n}
}

func storeSystem(store string) string { return "dengine, " + store }

// measureWrites writes in every way with as many clients, one way after the other, so
// that what is compared is seconds apart and not minutes: a disk that others use too
// is three times as fast at one time as at another. All systems run all the time;
// idle ones take little.
func measureWrites(b *bench, t harness.T) {
	e := startEtcd(t)
	ways := []way{{e, func(n int) keyed { return e.writes(t, n).as(writeKey("etcd", atLeader, n)) }}}
	for _, store := range logStores {
		ways = append(ways, storeWays(t, store)...)
	}
	if path, err := harness.Find(rqlited); err == nil { // else that was said at the beginning
		r := startRqlite(t, path)
		ways = append(ways, way{r, func(n int) keyed { return r.writes(t, n).as(writeKey("rqlite", atLeader, n)) }})
	}
	for _, n := range writerCounts {
		b.inTurn(t, n, ways...)
	}
}

// storeWays starts nodes with a log store, to be written to directly and through the
// balancer.
func storeWays(t harness.T, store string) []way {
	d := startBalanced(t, append([]string{"--log-store", store}, patient...)...)
	to := func(at string, p *harness.Process) func(int) keyed {
		return func(n int) keyed { return d.writesAt(t, n, p, value).as(writeKey(storeSystem(store), at, n)) }
	}
	multiplexed := func(n int) keyed {
		return d.writesOver(t, n, min(n, clients), d.leader, value).as(writeKey(storeSystem(store), atLeaderMultiplexed, n))
	}
	return []way{{d, to(atLeader, d.leader)}, {balanced{d}, to(throughBalancer, d.LB)}, {d, multiplexed}}
}

// balanced is a cluster with its balancer.
type balanced struct{ *dengine }

func (b balanced) pids() []int { return append(b.dengine.pids(), b.LB.PID()) }

// measureWriteLoad finds what the load can do: the same requests at a server that
// does nothing.
func measureWriteLoad(b *bench, t harness.T) {
	addr := harness.FreePorts(t, 1)[0]
	p := harness.Foreign(t, t.TempDir(), executable(t), []string{plainCommand, "--listen", addr})
	p.Name, p.HTTP = "plain", addr
	harness.AwaitPort(t, "the trivial server", addr)
	s := trivial{p}
	for _, n := range writerCounts {
		load := sending(t, n, n, p, value, func(out []byte) []byte { return append(out, plainHealth...) })
		b.measure(t, s, load.as(writeKey("the load alone", "a trivial server", n)))
	}
}

// trivial is one server that nobody leads.
type trivial struct{ *harness.Process }

func (s trivial) pids() []int { return []int{s.PID()} }

func (trivial) steady(harness.T) error { return nil }
