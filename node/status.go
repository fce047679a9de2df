package node

import (
	"encoding/json"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"github.com/valyala/fasthttp"
)

// Status is what GET /status tells, for people and programs.
type Status struct {
	healthcheck.Report
	Cluster     string         `json:"cluster"`
	Keys        int            `json:"keys"`
	Lag         uint64         `json:"lag"`             // committed entries not applied yet
	LastContact string         `json:"last_contact"`    // since an append from the leader came in, or a majority answered this leader; "" for never
	Disk        DiskStatus     `json:"disk"`            //
	Log         LogStatus      `json:"log"`             //
	Snapshot    SnapshotStatus `json:"snapshot"`        //
	Kept        KeptStatus     `json:"kept"`            // of the identities of writes
	Peers       []PeerStatus   `json:"peers,omitempty"` // on a leader
	StateHash   string         `json:"state_hash,omitempty"`
	DataDir     string         `json:"data_dir"`
	Version     string         `json:"version"`
	RaftVersion string         `json:"raft_version"`
}

// DiskStatus is how the disk answers writes to the log.
type DiskStatus struct {
	Stuck    bool   `json:"stuck"`               // a write takes longer than the disk timeout: the node is silent
	StuckFor string `json:"stuck_for,omitempty"` // since it began
	Stalls   uint64 `json:"stalls"`              // such writes that have ended, since the node started
}

// LogStatus is the log as it is on disk.
type LogStatus struct {
	Store string `json:"store"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// KeptStatus is how much is kept of the identities of writes, with what is over
// and not removed yet.
type KeptStatus struct {
	Sessions int    `json:"sessions"`
	Answers  int    `json:"session_answers"`
	Keys     int    `json:"idempotency_keys"`
	KeyBytes uint64 `json:"idempotency_bytes"` // of memory
}

// SnapshotStatus is the newest snapshot; zero where there is none.
type SnapshotStatus struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	Bytes int64  `json:"bytes"`
	Took  string `json:"took,omitempty"` // to be written, or to come from the leader; "" where that was before the node started
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID      string `json:"id"`
	LastAck string `json:"last_ack"` // since something was sent that it acknowledged; "" for never in this term
}

// Status looks at everything; it reads the log's ends from disk, unless the disk
// is stuck.
func (n *Node) Status() Status {
	s := Status{Report: n.Report(), Cluster: n.cfg.Cluster, DataDir: n.cfg.DataDir, Version: Version()}
	s.RaftVersion = moduleVersion("github.com/hashicorp/raft")
	c := n.core.Load()
	if c == nil {
		return s
	}
	s.Keys, s.Lag, s.Kept = c.fsm.len(), s.Report.Lag(), KeptStatus(c.fsm.usage())
	s.Log = LogStatus{Store: string(n.cfg.LogStore)}
	s.Disk = DiskStatus{Stalls: c.store.watch.stalls.Load()}
	if d := c.store.watch.stuckFor(); d > 0 {
		s.Disk.Stuck, s.Disk.StuckFor = true, d.Round(time.Millisecond).String()
	} else {
		s.Log.First, _ = c.store.FirstIndex() // zero where the store is closed already
		s.Log.Last, _ = c.store.LastIndex()
		if list, err := c.snapshots.List(); err == nil && len(list) > 0 {
			s.Snapshot = SnapshotStatus{Index: list[0].Index, Term: list[0].Term, Bytes: list[0].Size}
			if took := n.snapshotTook(); took > 0 {
				s.Snapshot.Took = took.Round(time.Microsecond).String()
			}
		}
	}
	now := time.Now()
	if s.Role != healthcheck.RoleLeader {
		s.LastContact = since(now, n.contact.lastAppend().at)
		return s
	}
	var voters []raft.ServerID
	for _, m := range s.Members {
		id := raft.ServerID(m.ID)
		if m.Voter {
			voters = append(voters, id)
		}
		if m.ID != n.cfg.ID {
			s.Peers = append(s.Peers, PeerStatus{ID: m.ID, LastAck: since(now, n.contact.lastAck(id, s.Term))})
		}
	}
	s.LastContact = since(now, n.contact.quorumSent(voters, raft.ServerID(n.cfg.ID), s.Term, now))
	return s
}

// snapshotTook is how long the last snapshot took that became whole since the node
// started; 0 for none.
func (n *Node) snapshotTook() time.Duration {
	if c := n.core.Load(); c != nil {
		return time.Duration(c.snapshots.took.Load())
	}
	return 0
}

func since(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return now.Sub(then).Round(time.Microsecond).String()
}

// Version is this build's version, as the module system knows it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == path {
				return d.Version
			}
		}
	}
	return ""
}

// healthExtra are the paths of the health port beside the role contract.
func (n *Node) healthExtra() map[string]fasthttp.RequestHandler {
	return map[string]fasthttp.RequestHandler{
		healthcheck.PathStatus:  n.serveStatus,
		healthcheck.PathMetrics: n.serveMetrics(),
	}
}

// serveStatus answers /status; with ?hash=true it adds the state's hash, which
// reads the whole state.
func (n *Node) serveStatus(ctx *fasthttp.RequestCtx) {
	s := n.Status()
	if want, _ := strconv.ParseBool(string(ctx.QueryArgs().Peek("hash"))); want {
		s.StateHash, s.Applied = n.stateHash()
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // plain fields always marshal
		panic(err)
	}
	ctx.SetContentType(jsonType)
	ctx.SetBody(append(body, '\n'))
}
