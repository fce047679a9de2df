package lb

import (
	"bytes"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// stats are counted for each request, so they are plain atomics; metrics reads
// them when somebody asks.
type stats struct {
	answers  [2][6]atomic.Uint64 // by class and by status / 100; 0: others
	duration [2]prometheus.Histogram
	retries  [verdictFail]atomic.Uint64 // by what was decided
	rejected atomic.Uint64              // connections over the limit
}

func newStats() *stats {
	s := &stats{}
	for c := range s.duration {
		s.duration[c] = prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dengine_lb_request_duration_seconds", Help: "Time from a request's head to the end of its answer, holding included.",
			ConstLabels: prometheus.Labels{"class": class(c).String()},
			Buckets:     prometheus.ExponentialBuckets(0.0001, 2.5, 14),
		})
	}
	return s
}

func (s *stats) count(c class, status int, d time.Duration) {
	i := status / 100
	if i < 0 || i > 5 || status == statusClientLeft {
		i = 0
	}
	s.answers[c][i].Add(1)
	s.duration[c].Observe(d.Seconds())
}

// retried counts another attempt.
func (b *Balancer) retried(v verdict) { b.stats.retries[v].Add(1) }

// collector shows the balancer's counters to Prometheus.
type collector struct{ b *Balancer }

// Describe sends nothing, which makes the collector an unchecked one: backends
// come and go.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	b := c.b
	emit := func(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
		var keys, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			keys, values = append(keys, labels[i]), append(values, labels[i+1])
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("dengine_lb_"+name, help, keys, nil), kind, v, values...)
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	for cl := range b.stats.answers {
		for i := range b.stats.answers[cl] {
			code := "left"
			if i > 0 {
				code = strconv.Itoa(i) + "xx"
			}
			emit(counter, "requests_total", "Requests by class and status; left: the client did not wait.",
				float64(b.stats.answers[cl][i].Load()), "class", class(cl).String(), "code", code)
		}
		b.stats.duration[cl].Collect(out)
	}
	for v, name := range map[verdict]string{verdictAgain: "again", verdictElsewhere: "elsewhere", verdictHold: "hold", verdictReplay: "replay"} {
		emit(counter, "retries_total", "Attempts that were followed by another, by kind.", float64(b.stats.retries[v].Load()), "kind", name)
	}
	emit(counter, "writes_in_doubt_total", "Writes answered with an unknown outcome by the balancer.", float64(b.inDoubt.Load()))
	state, open, inUse := b.sessions.report()
	emit(gauge, "session_open", "Whether a session is open, in which writes are numbered.", flag(state == sessionOpen))
	emit(gauge, "sessions", "Sessions that are open: another is opened where numbers run out.", float64(open))
	emit(gauge, "session_writes", "Numbered writes under way now.", float64(inUse))
	emit(counter, "session_waits_total", "Writes that waited because no session had a number free.", float64(b.sessions.waits.Load()))
	emit(counter, "session_doubts_total", "Writes that came into doubt: sent, and their answer lost.", float64(b.doubts.Load()))
	emit(counter, "session_replays_total", "Sendings of writes in doubt, under their number.", float64(b.replays.Load()))
	emit(counter, "session_broken_off_total", "Connections of numbered writes broken off because another backend took the lead.", float64(b.registry.brokenOff.Load()))
	emit(counter, "reads_called_off_total", "Attempts of reads that left a node which could serve reads no more.", float64(b.registry.calledOff.Load()))
	emit(gauge, "written_index", "Highest log index of a write that was answered; 0 without read-your-writes.", float64(b.registry.written.index.Load()))
	emit(gauge, "held_requests", "Requests that wait for a backend now.", float64(b.held.requests.Load()))
	emit(gauge, "held_bytes", "Bytes of the requests that wait now.", float64(b.held.bytes.Load()))
	emit(counter, "held_total", "Requests that had to wait.", float64(b.held.total.Load()))
	emit(counter, "held_dropped_total", "Requests whose client left while they waited; they were not sent.", float64(b.held.dropped.Load()))
	emit(counter, "held_refused_total", "Requests refused because too many waited.", float64(b.held.refused.Load()))
	emit(gauge, "client_connections", "Open connections of clients.", float64(b.front.open.Load()))
	emit(counter, "client_connections_rejected_total", "Connections refused because there were too many.", float64(b.stats.rejected.Load()))
	emit(counter, "worker_requests_total", "Requests that workers answered.", float64(b.workers.answered.Load()))
	emit(counter, "worker_returns_total", "Connections that workers gave back to the server, for something that is no plain request or answer.", float64(b.workers.returned.Load()))
	emit(gauge, "in_flight_requests", "Requests being served now.", float64(b.inFlight.Load()))
	emit(counter, "leader_changes_total", "How often another backend became leader.", float64(b.registry.elections.Load()))
	for _, be := range b.registry.all() {
		emit(counter, "backend_attempts_total", "Requests sent to a backend.", float64(be.requests.Load()), "backend", be.HTTP)
		emit(counter, "backend_errors_total", "Attempts that a backend did not answer.", float64(be.errors.Load()), "backend", be.HTTP)
		emit(gauge, "backend_reached_index", "Log index that a backend is known to have applied.", float64(be.reached.Load()), "backend", be.HTTP)
		emit(counter, "backend_shared_reads_total", "Reads that a backend answered over a connection that they shared.", float64(be.sharedReads.Load()), "backend", be.HTTP)
		emit(counter, "backend_bundled_writes_total", "Numbered writes that a backend answered over a connection that they shared.", float64(be.bundles.rides.Load()), "backend", be.HTTP)
		emit(counter, "backend_shared_reads_left_total", "Reads that left a shared connection without an answer, and were sent again.", float64(be.sharedLeft.Load()), "backend", be.HTTP)
		emit(gauge, "backend_connections", "Open connections to a backend.", float64(be.pool.size()), "backend", be.HTTP)
	}
	v := b.registry.view.Load()
	for i, n := range v.Nodes {
		emit(gauge, "backend_up", "Whether a backend answers its checks.", flag(n.Up && !n.Suspect), "backend", n.HTTP)
		emit(gauge, "backend_leader", "Whether writes go to a backend.", flag(i == v.Leader), "backend", n.HTTP)
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// newMetrics holds the balancer's metrics, and those of the process that it is.
func newMetrics(b *Balancer) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{b}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
			collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)})))
	return reg
}

// metricsText is everything in Prometheus' text format, and its content type.
func (b *Balancer) metricsText() ([]byte, string, error) {
	families, err := b.metrics.Gather()
	if err != nil {
		return nil, "", err
	}
	var buf bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	enc := expfmt.NewEncoder(&buf, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return nil, "", err
		}
	}
	return buf.Bytes(), string(format), nil
}
