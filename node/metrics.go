package node

import (
	"encoding/hex"
	"regexp"
	"sync/atomic"

	"github.com/dengine/dengine/healthcheck"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// counters are what the node counts on its way; the rest is read when asked.
type counters struct {
	reads, writes                atomic.Uint64 // answered
	writesRefused, writesInDoubt atomic.Uint64 // by outcome
	changes                      atomic.Uint64 // of role, term or leader
	replayed, full               atomic.Uint64 // answered from the table of identities, or refused for want of room in it
	suspicions, crashElections   atomic.Uint64 // of crashed leaders
	rounds, leased               atomic.Uint64 // as leader: rounds for linearizable reads, and reads under the lease
}

// collector makes metrics of a node's state when it is scraped. It implements
// prometheus.Collector.
type collector struct{ n *Node }

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("dengine_node_"+name, help, nil, nil)
}

// Describe sends nothing: the collector is unchecked, its metrics are few and
// fixed.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.n.Status()
	gauge := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(desc(name, help), prometheus.GaugeValue, v)
	}
	counter := func(name, help string, v uint64) {
		out <- prometheus.MustNewConstMetric(desc(name, help), prometheus.CounterValue, float64(v))
	}
	gauge("primary", "1 while /primary answers 200.", boolean(s.Primary))
	gauge("replica", "1 while /replica answers 200.", boolean(s.Replica))
	gauge("ready", "1 while /readyz answers 200.", boolean(s.Ready))
	gauge("leader", "1 while this node is the Raft leader.", boolean(s.Role == healthcheck.RoleLeader))
	gauge("term", "Current Raft term.", float64(s.Term))
	gauge("applied_index", "Log index of the last entry in the state machine.", float64(s.Applied))
	gauge("commit_index", "Highest log index known to be committed.", float64(s.Commit))
	gauge("log_first_index", "First index in the log.", float64(s.Log.First))
	gauge("log_last_index", "Last index in the log.", float64(s.Log.Last))
	gauge("disk_stuck", "1 while a write to the log takes longer than the disk timeout.", boolean(s.Disk.Stuck))
	gauge("snapshot_index", "Log index of the newest snapshot.", float64(s.Snapshot.Index))
	gauge("snapshot_bytes", "Size of the newest snapshot.", float64(s.Snapshot.Bytes))
	gauge("snapshot_seconds", "How long the newest snapshot took to be written, or to come from the leader; 0 for none since the start.", c.n.snapshotTook().Seconds())
	gauge("keys", "Keys in the state machine.", float64(s.Keys))
	gauge("sessions", "Sessions of balancers that are kept.", float64(s.Kept.Sessions))
	gauge("session_answers", "Answers to writes that sessions may send again.", float64(s.Kept.Answers))
	gauge("idempotency_keys", "Idempotency keys that are kept.", float64(s.Kept.Keys))
	gauge("idempotency_bytes", "Memory that the idempotency keys take, in bytes.", float64(s.Kept.KeyBytes))
	gauge("watching", "1 while this node would notice at once that its leader's process ends.", boolean(c.n.crash.watching.Load()))
	k := &c.n.counters
	counter("reads_total", "Reads answered.", k.reads.Load())
	counter("reads_leased_total", "Reads answered under this leader's lease.", k.leased.Load())
	counter("read_rounds_total", "Rounds in which this leader asked the voters whether it still leads, for all reads that waited.", k.rounds.Load())
	counter("writes_total", "Writes decided.", k.writes.Load())
	counter("writes_refused_total", "Writes that were not applied.", k.writesRefused.Load())
	counter("writes_unknown_total", "Writes whose outcome is unknown.", k.writesInDoubt.Load())
	counter("writes_replayed_total", "Writes that were answered from the table of identities, and not executed again.", k.replayed.Load())
	counter("identities_full_total", "Writes and sessions refused since no more identities can be kept.", k.full.Load())
	counter("disk_stalls_total", "Writes to the log that took longer than the disk timeout, and ended.", s.Disk.Stalls)
	counter("role_changes_total", "Changes of role, term or leader.", k.changes.Load())
	counter("suspicions_total", "Times that this node took its leader for crashed.", k.suspicions.Load())
	counter("crash_elections_total", "Elections that this node called for a crashed leader.", k.crashElections.Load())
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// serveMetrics answers /metrics in Prometheus' text format.
func (n *Node) serveMetrics() fasthttp.RequestHandler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{n}, collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)})),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	return func(ctx *fasthttp.RequestCtx) {
		families, err := reg.Gather()
		if err != nil {
			n.log.Warn("metrics are incomplete", zap.Error(err))
		}
		ctx.SetContentType(string(format))
		enc := expfmt.NewEncoder(ctx.Response.BodyWriter(), format)
		for _, f := range families {
			if err := enc.Encode(f); err != nil { // it writes to memory
				n.log.Warn("metric cannot be encoded", zap.String("metric", f.GetName()), zap.Error(err))
			}
		}
	}
}

// stateHash is the hash of the whole state and the index that it is of.
func (n *Node) stateHash() (hash string, index uint64) {
	c := n.core.Load()
	if c == nil {
		return "", 0
	}
	v := c.fsm.view()
	sum := v.Hash()
	return hex.EncodeToString(sum[:]), v.Index()
}
