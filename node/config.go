package node

import (
	"time"

	"github.com/dengine/dengine/internal/edge"
)

// Member is one voter of the initial cluster.
type Member struct {
	ID     string
	Raft   string // host:port of its Raft port, as the other nodes reach it
	HTTP   string // host:port of its HTTP API, as clients reach it
	Health string // host:port of its health port, as balancers reach it
}

// Config is everything about a node. Start from DefaultConfig.
type Config struct {
	// ID names this node; it must be one of InitialCluster's and never change.
	ID string
	// Cluster is a name that all nodes share; a node of another cluster is
	// refused, so that two clusters never mix by a wrong address.
	Cluster string
	// DataDir holds the log, the snapshots and the node's identity. It belongs
	// to one node and one process at a time.
	DataDir string
	// LogStore is where the log is kept. It is chosen when a data directory is
	// new and cannot be changed later. Empty: as the directory has it, and NewLogStore
	// in a new one.
	LogStore LogStore
	// Listen addresses, host:port; port 0 takes a free one. HTTPListen and
	// HealthListen may be empty: then there is no such port.
	RaftListen   string
	HTTPListen   string
	HealthListen string
	// InitialCluster are the voters that a new cluster starts with, this node
	// included. Later the log decides; the addresses given here still win over
	// those in the log, so that a node that moved can be told of by settings.
	InitialCluster []Member

	// Join has a node with an empty data directory ask the others to be added as a
	// learner, instead of taking part in the start of the cluster. It changes nothing
	// once the directory has taken part.
	Join bool
	// Learner keeps this node a learner for as long as it is one; otherwise a leader
	// makes a voter of it when it has caught up.
	Learner bool

	HeartbeatTimeout time.Duration // a follower without contact for this long becomes a candidate
	ElectionTimeout  time.Duration // a candidate without a majority for this long tries again
	LeaseTimeout     time.Duration // a leader without contact to a majority for this long steps down
	CommitTimeout    time.Duration // how soon followers learn of a commit when nothing else is sent
	RPCTimeout       time.Duration // for one exchange between nodes; also for connecting
	DiskTimeout      time.Duration // a write to the log that takes longer makes the node fall silent, so that others elect

	// CrashDetection replaces a leader whose process has ended at once instead of
	// after the heartbeat timeout, where a majority of the voters has it on.
	CrashDetection bool

	SnapshotThreshold uint64        // log entries since the last snapshot that call for another
	SnapshotInterval  time.Duration // how often that is looked at; randomised up to twice this
	SnapshotRetain    int           // snapshots to keep
	TrailingLogs      uint64        // entries kept behind a snapshot, for followers that lag

	MaxEntryBytes  int // bytes of waiting writes that share one log entry; one larger write still gets one
	MaxAppendBytes int // bytes of entries in one AppendEntries; one larger entry still goes alone
	LogCacheBytes  int // recent log entries kept in memory for replication

	MaxValueBytes int           // longest value
	WriteTimeout  time.Duration // after this a write that is not decided ends as ErrUnknown
	ReadTimeout   time.Duration // longest wait of a read for a state that is new enough
	ReadLevel     Level         // of reads that ask for none: Linearizable, Lease or Eventual
	WeakerReads   bool          // reads may ask for a weaker level than that
	MaxLag        uint64        // committed entries a follower may still have to apply and be ready

	// What is kept of the identities of writes. The leader's settings hold for the
	// whole cluster; time is the cluster clock.
	SessionTimeout      time.Duration // a session that is not used for this long is over
	MaxSessions         int           // sessions at once; each may keep 1,024 answers
	IdempotencyWindow   time.Duration // how long an idempotency key is kept
	MaxIdempotencyKeys  int           // idempotency keys at once
	MaxIdempotencyBytes int           // memory that they may take together

	Limits edge.Limits // of the HTTP API
}

// LogStore is a kind of log on disk.
type LogStore string

// The kinds: raft-boltdb, a B+tree in one file, two fsyncs for each append; and
// raft-wal, segment files, one fsync.
const (
	LogStoreBolt LogStore = "bolt"
	LogStoreWAL  LogStore = "wal"
)

// NewLogStore is that of a new data directory where none is asked for: it writes a seventh
// of what the other one does, and is faster with any number of writers.
const NewLogStore = LogStoreWAL

// logNames are their names in a data directory.
var logNames = map[LogStore]string{LogStoreBolt: "raft.db", LogStoreWAL: "wal"}

// MaxKeyBytes is the longest key.
const MaxKeyBytes = 4 << 10

// maxMembers bounds InitialCluster; Raft gains nothing from more voters.
const maxMembers = 9

// DefaultConfig lacks only ID, DataDir and InitialCluster.
func DefaultConfig() Config {
	return Config{
		Cluster:           "dengine",
		RaftListen:        "127.0.0.1:9081",
		HTTPListen:        "127.0.0.1:8081",
		HealthListen:      "127.0.0.1:10001",
		HeartbeatTimeout:  300 * time.Millisecond,
		ElectionTimeout:   300 * time.Millisecond,
		LeaseTimeout:      100 * time.Millisecond,
		CommitTimeout:     5 * time.Millisecond,
		RPCTimeout:        2 * time.Second,
		DiskTimeout:       time.Second,
		CrashDetection:    true,
		SnapshotThreshold: 8192,
		SnapshotInterval:  10 * time.Second,
		SnapshotRetain:    2,
		TrailingLogs:      10240,
		MaxEntryBytes:     512 << 10,
		MaxAppendBytes:    4 << 20,
		LogCacheBytes:     32 << 20,
		MaxValueBytes:     1 << 20,
		WriteTimeout:      10 * time.Second,
		ReadTimeout:       2 * time.Second,
		ReadLevel:         Linearizable,
		WeakerReads:       true,
		MaxLag:            1000,
		Limits:            edge.DefaultLimits(),

		SessionTimeout:      60 * time.Second,
		MaxSessions:         256,
		IdempotencyWindow:   10 * time.Minute,
		MaxIdempotencyKeys:  1_000_000,
		MaxIdempotencyBytes: 256 << 20,
	}
}

// member returns what the settings say of a node.
func (c Config) member(id string) (Member, bool) {
	for _, m := range c.InitialCluster {
		if m.ID == id {
			return m, true
		}
	}
	return Member{ID: id}, false
}
