package lb

import (
	"runtime"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
)

// Backend is one service that requests may be sent to.
type Backend struct {
	ID     string // name in logs and metrics; empty: the HTTP address
	HTTP   string // host:port that requests go to
	Health string // host:port that is checked; empty: HTTP
}

// WritePolicy says where requests go that are not reads.
type WritePolicy string

const (
	// WriteLeader sends writes to the leader only, and holds them while there is none.
	WriteLeader WritePolicy = "leader"
	// WriteAny spreads writes as if they were reads, for services without state.
	// They are still sent again only where it is certain that none of them left.
	WriteAny WritePolicy = "any"
)

// SharePolicy says to which backends short requests share connections. A backend that can be made to answer one request twice would give
// one client's answer to another then; dengine nodes cannot.
type SharePolicy string

const (
	ShareNever SharePolicy = "never"
	// ShareNodes shares while all backends are dengine nodes.
	ShareNodes SharePolicy = "nodes"
)

// Access log targets that are not a file's path.
const (
	AccessLogOff    = "off"
	AccessLogStdout = "stdout"
)

// Config is everything a balancer can be told. DefaultConfig is a good start.
// Durations and sizes must be positive unless a field says what zero means.
type Config struct {
	Listen string // host:port for clients; port 0 takes a free one
	Admin  string // host:port for operators; port 0 takes a free one

	Backends []Backend
	// Discover adds members that dengine nodes report and drops those that the
	// newest leader no longer reports. Backends named above always stay. It
	// has no effect in healthcheck.ModePoll.
	Discover bool
	Checks   healthcheck.Checks

	// Limits on clients. BodyTimeout is for a body that is read whole, and for
	// each pause in one that streams.
	Limits edge.Limits

	// Workers is how many goroutines answer plain requests, each many of them; the best
	// is one for each processor, and for Go one processor more than that
	// (runtime.GOMAXPROCS). Zero: every request has a goroutine of its own.
	Workers int

	ReadMethods []string // methods that are reads: may go to any ready backend, may be repeated
	// ReadPaths are further reads, each "METHOD /path", compared byte for byte, without
	// query. POST /kv/get is one unnamed, as long as all backends are dengine nodes.
	ReadPaths   []string
	WritePolicy WritePolicy // where all else goes
	// Identities numbers the writes that go to a leader which keeps write
	// identities, in a session of the balancer's own, so that they can be sent
	// again after their leader died. Bodies that stream get no number.
	Identities bool
	// ReadYourWrites lets every read see every write that was answered through this
	// balancer, at each level of consistency: reads carry the highest Dengine-Index of
	// those answers as Dengine-Min-Index, and go to nodes known to be that far, or to
	// follow closely, if there are any. Linearizable reads see all writes without it. In
	// healthcheck.ModePoll nothing is known but from answers, nor is it found out that
	// the service was wiped and begun anew: start the balancer again then.
	ReadYourWrites bool

	// BufferBody is the largest request body, in bytes, that is read whole
	// before it is sent, so that it can be sent again. Zero: none but empty.
	BufferBody int
	// BufferTotal bounds what all such bodies take together, in bytes. Requests
	// beyond it are refused. Bodies of up to 16 KiB do not count.
	BufferTotal int

	// HoldTimeout is how long a request may wait for a backend; zero: not at all.
	// For a numbered write that was sent and lost its leader it begins anew, once.
	HoldTimeout  time.Duration
	HoldRequests int // how many may wait at once; zero: none
	HoldBytes    int // how many bytes those may hold together; zero: none

	ConnectTimeout     time.Duration // for a connection to a backend, waiting for a free one included
	UpstreamTimeout    time.Duration // from sending a request to the head of its answer, and for each pause in a body that is read whole
	ReadTimeout        time.Duration // all attempts of one read together, up to the head of its answer
	ReadAttemptTimeout time.Duration // one attempt of a read while another backend is left to try
	StreamTimeout      time.Duration // silence after which an answer that streams, or an upgraded connection, ends

	// UpstreamConns is how many connections to one backend may be open. At most
	// half of them, and at least one, serve request bodies that stream and
	// upgraded connections, which may last for long.
	UpstreamConns       int
	UpstreamIdleConns   int           // idle ones kept to one backend, and as many again by workers; zero: none
	UpstreamIdleTimeout time.Duration // how long an idle one is kept

	// ShareReads lets reads of one key that workers send to a backend share connections,
	// which saves system calls on both sides. Where nodes may share, short numbered writes do
	// too: each has an answer of its own there, in any order.
	ShareReads SharePolicy

	// For tests. shareHard shares all plain GETs, of every service; the others are as usual
	// where they are zero.
	shareHard                   bool
	lateAnswer, sessionPatience time.Duration

	DrainTimeout time.Duration // how long Run waits for what is in flight when it ends

	// TrustForwarded keeps the X-Forwarded headers and Forwarded that clients
	// send, and X-Real-IP, and appends to X-Forwarded-For. Only for a balancer behind another
	// proxy. Otherwise they are replaced.
	TrustForwarded bool

	AccessLog       string // AccessLogOff, AccessLogStdout or a file's path
	AccessLogSample int    // log one request of this many; those that failed (status 5xx) always

	Version string // shown by the admin port's /status
}

// firstSending is how long the first sending of a numbered write may take, after which
// there must be time for another.
func (c *Config) firstSending() time.Duration {
	if c.HoldTimeout == 0 {
		return c.UpstreamTimeout
	}
	return min(c.UpstreamTimeout, c.HoldTimeout/2)
}

// processors are those that this process may use, as Go sees it at its start.
var processors = runtime.GOMAXPROCS(0)

// DefaultConfig is for three nodes and a balancer on one machine.
func DefaultConfig() Config {
	limits := edge.DefaultLimits()
	limits.BodyBytes = 64 << 20
	return Config{
		Listen: "127.0.0.1:8080",
		Admin:  "127.0.0.1:8088",
		Backends: []Backend{
			{ID: "n1", HTTP: "127.0.0.1:8081", Health: "127.0.0.1:10001"},
			{ID: "n2", HTTP: "127.0.0.1:8082", Health: "127.0.0.1:10002"},
			{ID: "n3", HTTP: "127.0.0.1:8083", Health: "127.0.0.1:10003"},
		},
		Discover:            true,
		Checks:              healthcheck.DefaultChecks(),
		Limits:              limits,
		Workers:             processors,
		ReadMethods:         []string{"GET", "HEAD", "OPTIONS"},
		WritePolicy:         WriteLeader,
		Identities:          true,
		ShareReads:          ShareNodes,
		BufferBody:          8 << 20,
		BufferTotal:         256 << 20,
		HoldTimeout:         10 * time.Second,
		HoldRequests:        4096,
		HoldBytes:           64 << 20,
		ConnectTimeout:      500 * time.Millisecond,
		UpstreamTimeout:     30 * time.Second,
		ReadTimeout:         30 * time.Second,
		ReadAttemptTimeout:  time.Second,
		StreamTimeout:       5 * time.Minute,
		UpstreamConns:       1024,
		UpstreamIdleConns:   256,
		UpstreamIdleTimeout: 30 * time.Second,
		DrainTimeout:        10 * time.Second,
		AccessLog:           AccessLogOff,
		AccessLogSample:     1,
		Version:             "unknown",
	}
}
