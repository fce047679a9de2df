package main

import (
	"fmt"

	"github.com/dengine/dengine/internal/logging"
	"github.com/dengine/dengine/internal/settings"
	"github.com/dengine/dengine/node"
)

// nodeSettings names every setting of a node.
func nodeSettings(c *node.Config, l *logging.Config) []settings.Setting {
	return append([]settings.Setting{
		{Name: "id", Usage: "name of this node, one of the initial cluster's; it never changes", Value: settings.String(&c.ID)},
		{Name: "cluster", Usage: "name that all nodes of the cluster share", Value: settings.String(&c.Cluster)},
		{Name: "data-dir", Usage: "folder for the log, the snapshots and the node's identity", Value: settings.String(&c.DataDir)},
		{Name: "log-store", Usage: "bolt or wal: how the log is kept on disk; chosen once for a data folder, and where empty as the folder has it (" + string(node.NewLogStore) + " in a new one)", Value: settings.Parsed(&c.LogStore, parseLogStore, formatLogStore)},
		{Name: "raft-listen", Usage: "address of the Raft port", Value: settings.String(&c.RaftListen)},
		{Name: "http-listen", Usage: "address of the HTTP API", Value: settings.String(&c.HTTPListen)},
		{Name: "health-listen", Usage: "address of the health port", Value: settings.String(&c.HealthListen)},
		{Name: "initial-cluster", Usage: "a voter as id=n1,raft=HOST:PORT,http=HOST:PORT,health=HOST:PORT; one for each, this node included", Value: settings.List(&c.InitialCluster, parseMember, formatMember)},
		{Name: "join", Usage: "with an empty data folder, ask the other nodes to be added as a learner: how a removed node comes back", Value: settings.Bool(&c.Join)},
		{Name: "learner", Usage: "as a learner, stay one: never vote", Value: settings.Bool(&c.Learner)},
		{Name: "heartbeat-timeout", Usage: "a follower without contact for this long calls an election", Value: settings.Duration(&c.HeartbeatTimeout)},
		{Name: "election-timeout", Usage: "a candidate without a majority for this long tries again", Value: settings.Duration(&c.ElectionTimeout)},
		{Name: "lease-timeout", Usage: "a leader without a majority for this long steps down", Value: settings.Duration(&c.LeaseTimeout)},
		{Name: "commit-timeout", Usage: "how soon followers learn of a commit when nothing else is sent", Value: settings.Duration(&c.CommitTimeout)},
		{Name: "rpc-timeout", Usage: "for one exchange between nodes", Value: settings.Duration(&c.RPCTimeout)},
		{Name: "disk-timeout", Usage: "a write to the log that takes longer makes the node fall silent, so that another one leads", Value: settings.Duration(&c.DiskTimeout)},
		{Name: "crash-detection", Usage: "replace a leader whose process has ended at once, not after the heartbeat timeout", Value: settings.Bool(&c.CrashDetection)},
		{Name: "snapshot-threshold", Usage: "log entries since the last snapshot that call for another", Value: settings.Int(&c.SnapshotThreshold)},
		{Name: "snapshot-interval", Usage: "how often that is looked at", Value: settings.Duration(&c.SnapshotInterval)},
		{Name: "snapshot-retain", Usage: "snapshots to keep", Value: settings.Int(&c.SnapshotRetain)},
		{Name: "trailing-logs", Usage: "log entries kept behind a snapshot", Value: settings.Int(&c.TrailingLogs)},
		{Name: "max-entry-bytes", Usage: "bytes of writes that share one log entry", Value: settings.Bytes(&c.MaxEntryBytes)},
		{Name: "max-append-bytes", Usage: "bytes of entries in one message to a follower", Value: settings.Bytes(&c.MaxAppendBytes)},
		{Name: "log-cache-bytes", Usage: "recent log entries kept in memory", Value: settings.Bytes(&c.LogCacheBytes)},
		{Name: "max-value-bytes", Usage: "longest value", Value: settings.Bytes(&c.MaxValueBytes)},
		{Name: "max-lag", Usage: "entries a follower may have to apply yet and be ready", Value: settings.Int(&c.MaxLag)},
		{Name: "write-timeout", Usage: "after this an undecided write ends as unknown", Value: settings.Duration(&c.WriteTimeout)},
		{Name: "read-timeout", Usage: "longest wait of a read for a state that is new enough", Value: settings.Duration(&c.ReadTimeout)},
		{Name: "read-consistency", Usage: "linearizable, lease or eventual: what reads get that ask for nothing", Value: settings.Parsed(&c.ReadLevel, node.ParseLevel, node.Level.String)},
		{Name: "weaker-reads", Usage: "reads may ask for less than read-consistency", Value: settings.Bool(&c.WeakerReads)},
		{Name: "session-timeout", Usage: "a balancer's session that is not used for this long is over", Value: settings.Duration(&c.SessionTimeout)},
		{Name: "max-sessions", Usage: "sessions of balancers at once", Value: settings.Int(&c.MaxSessions)},
		{Name: "idempotency-window", Usage: "how long an Idempotency-Key is kept", Value: settings.Duration(&c.IdempotencyWindow)},
		{Name: "max-idempotency-keys", Usage: "idempotency keys at once", Value: settings.Int(&c.MaxIdempotencyKeys)},
		{Name: "max-idempotency-bytes", Usage: "memory that they may take", Value: settings.Bytes(&c.MaxIdempotencyBytes)},
		{Name: "max-header-bytes", Usage: "longest request line and headers", Value: settings.Bytes(&c.Limits.HeaderBytes)},
		{Name: "header-timeout", Usage: "for a request's headers to arrive", Value: settings.Duration(&c.Limits.HeaderTimeout)},
		{Name: "body-timeout", Usage: "for a request's body to arrive", Value: settings.Duration(&c.Limits.BodyTimeout)},
		{Name: "idle-timeout", Usage: "for a connection without a request", Value: settings.Duration(&c.Limits.IdleTimeout)},
		{Name: "max-connections", Usage: "client connections at once", Value: settings.Int(&c.Limits.Conns)},
	}, l.Settings()...)
}

func parseLogStore(s string) (node.LogStore, error) { return node.LogStore(s), nil }

func formatLogStore(s node.LogStore) string { return string(s) }

func parseMember(s string) (node.Member, error) {
	f, err := settings.Fields(s, "id", "raft", "http", "health")
	if err != nil {
		return node.Member{}, fmt.Errorf("member %q: %w", s, err)
	}
	return node.Member{ID: f["id"], Raft: f["raft"], HTTP: f["http"], Health: f["health"]}, nil
}

func formatMember(m node.Member) string {
	return fmt.Sprintf("id=%s,raft=%s,http=%s,health=%s", m.ID, m.Raft, m.HTTP, m.Health)
}
