package main

import (
	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// connections are how many requests are in flight, each over a connection of its own but
// where it says otherwise.
var connections = [...]int{64, 256}

// writers are how many write beside reads.
const writers = 64

// Where requests go.
const (
	atLeader   = "the leader"
	atFollower = "a follower"
	atAll      = "all three"
)

// readPart compares reads with etcd's.
func readPart() part {
	return part{
		name: "reads", seconds: 5, groups: readGroups(), promises: readPromises,
		look:   func() (map[string]string, []string) { return map[string]string{"etcd": version.Version}, nil },
		tables: benchmark.Result.Tables,
	}
}

// readGroups are all measurements of reads.
func readGroups() []group {
	return []group{
		{"levels", measureLevels},
		{"lease", measureLease},
		{"writers", measureBesideWriters},
		{"lone", measureAfterLoneWrites},
		{"idle", measureIdle},
	}
}

// measureLevels compares the levels with one another and with etcd's, side by side:
// both systems run all the time, and idle ones take little.
func measureLevels(b *bench, t harness.T) {
	d := startBalanced(t)
	e := startEtcd(t)
	at := func(level, at string) way {
		return way{d, func(n int) keyed { return d.level(t, level, at, n) }}
	}
	etcds := func(level, at string, options ...clientv3.OpOption) way {
		return way{e, func(n int) keyed { return e.level(t, level, at, n, options...) }}
	}
	multiplexed := func(level, at string) way {
		return way{d, func(n int) keyed { return d.multiplexed(t, level, at, n) }}
	}
	balanced := way{balanced{d}, func(n int) keyed { return d.level(t, "linearizable", throughBalancer, n) }}
	for _, n := range connections {
		b.inTurn(t, n, at("eventual", atFollower), at("linearizable", atFollower), multiplexed("eventual", atFollower),
			etcds("serializable", atFollower, clientv3.WithSerializable()))
		b.inTurn(t, n, at("eventual", atLeader), at("linearizable", atLeader), etcds("linearizable", atLeader))
		b.inTurn(t, n, at("eventual", atAll), at("linearizable", atAll), multiplexed("linearizable", atAll), etcds("linearizable", atAll), balanced)
	}
}

// measureLease has a cluster of its own: leases count only voters that declare
// crash detection off.
func measureLease(b *bench, t harness.T) {
	d := startDengine(t, "--crash-detection=false")
	for _, n := range connections {
		for _, at := range []string{atFollower, atLeader} {
			b.measure(t, d, d.level(t, "lease", at, n))
		}
	}
}

func measureBesideWriters(b *bench, t harness.T) {
	d := startDengine(t)
	b.measure(t, d, d.writes(t, writers).as(writesAlone()))
	for _, n := range connections {
		reads := d.level(t, "linearizable", atAll, n).as(besideWrites(n))
		b.measure(t, d, reads, d.writes(t, writers).as(besideReads(n)))
	}
}

// level is a load of reads at a level, each over a connection of its own.
func (d *dengine) level(t harness.T, level, at string, n int) keyed {
	t.Helper()
	return d.reads(t, n, n, "?consistency="+level, d.nodes(at)...).as(ourKey(level, at, n))
}

// multiplexed is a load of reads over as many connections as etcd's clients have.
func (d *dengine) multiplexed(t harness.T, level, at string, n int) keyed {
	t.Helper()
	nodes := d.nodes(at)
	return d.reads(t, n, clients*len(nodes), "?consistency="+level, nodes...).as(multiplexedKey(level, at, n))
}

// nodes are those that requests go to.
func (d *dengine) nodes(at string) []*harness.Process {
	return map[string][]*harness.Process{atLeader: {d.leader}, atFollower: {d.follower}, atAll: d.Nodes, throughBalancer: {d.LB}}[at]
}

func (e *etcd) level(t harness.T, level, at string, n int, options ...clientv3.OpOption) keyed {
	t.Helper()
	members := map[string][]string{atLeader: {e.leader}, atFollower: {e.follower}, atAll: e.addresses()}[at]
	return e.reads(t, n, members, options...).as(etcdKey(level, at, n))
}

func ourKey(what, at string, n int) benchmark.Key {
	return benchmark.Key{System: "dengine", What: what, At: at, Connections: n}
}

func multiplexedKey(level, at string, n int) benchmark.Key {
	return ourKey(level+", over as many connections as etcd's", at, n)
}

func etcdKey(what, at string, n int) benchmark.Key {
	return benchmark.Key{System: "etcd", What: what, At: at, Connections: n}
}

func writesAlone() benchmark.Key { return ourKey("64 writers alone", atLeader, writers) }

func besideWrites(n int) benchmark.Key { return ourKey("linearizable, 64 writers beside", atAll, n) }

func besideReads(n int) benchmark.Key { return ourKey("64 writers, these reads beside", atLeader, n) }

// floorAt256 is a floor that is promised at 256 connections only.
func floorAt256(n int, floor float64) float64 {
	if n == 256 {
		return floor
	}
	return 0
}

// readPromises are the floors of reads, and what else is worth a ratio.
func readPromises() []benchmark.Promise {
	var out []benchmark.Promise
	ratio := func(what string, of, to benchmark.Key, f benchmark.Figure, atLeast, atMost float64) {
		out = append(out, benchmark.Promise{What: what, Of: of, To: to, Figure: f, AtLeast: atLeast, AtMost: atMost})
	}
	for _, n := range connections {
		linearizable := func(at string) benchmark.Key { return ourKey("linearizable", at, n) }
		eventual := func(at string) benchmark.Key { return ourKey("eventual", at, n) }
		ratio("linearizable / eventual, at a follower", linearizable(atFollower), eventual(atFollower), benchmark.PerSecond, 0.5, 0)
		ratio("linearizable / eventual, at the leader", linearizable(atLeader), eventual(atLeader), benchmark.PerSecond, 0.7, 0)
		ratio("linearizable / eventual, at all three", linearizable(atAll), eventual(atAll), benchmark.PerSecond, 0, 0)
		ratio("linearizable / etcd's linearizable, at all three", linearizable(atAll), etcdKey("linearizable", atAll, n), benchmark.PerSecond, 3, 0)
		ratio("linearizable, over as many connections as etcd's / etcd's linearizable, at all three", multiplexedKey("linearizable", atAll, n), etcdKey("linearizable", atAll, n), benchmark.PerSecond, floorAt256(n, 3), 0)
		ratio("linearizable, through the balancer / etcd's linearizable, at all three", linearizable(throughBalancer), etcdKey("linearizable", atAll, n), benchmark.PerSecond, floorAt256(n, 2), 0)
		ratio("linearizable, through the balancer / at all three", linearizable(throughBalancer), linearizable(atAll), benchmark.PerSecond, 0, 0)
		ratio("linearizable / etcd's linearizable, at the leader", linearizable(atLeader), etcdKey("linearizable", atLeader, n), benchmark.PerSecond, 0, 0)
		ratio("eventual / etcd's serializable, at a follower", eventual(atFollower), etcdKey("serializable", atFollower, n), benchmark.PerSecond, 0, 0)
		ratio("eventual, over as many connections as etcd's / etcd's serializable, at a follower", multiplexedKey("eventual", atFollower, n), etcdKey("serializable", atFollower, n), benchmark.PerSecond, floorAt256(n, 4), 0)
		ratio("lease / eventual, at the leader", ourKey("lease", atLeader, n), eventual(atLeader), benchmark.PerSecond, 0, 0)
		ratio("lease / eventual, at a follower", ourKey("lease", atFollower, n), eventual(atFollower), benchmark.PerSecond, 0, 0)
		ratio("p99 of linearizable reads / of 64 writers beside them", besideWrites(n), besideReads(n), benchmark.P99, 0, 2)
		ratio("p99 of linearizable reads beside 64 writers / of the writers alone", besideWrites(n), writesAlone(), benchmark.P99, 0, 0)
	}
	return append(append(out, lonePromises()...), idlePromises()...)
}
