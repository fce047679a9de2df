package healthcheck

// Paths of the health port.
const (
	PathPrimary = "/primary" // 200 only on the leader
	PathReplica = "/replica" // 200 only on a follower that is caught up
	PathLive    = "/livez"   // 200 while the process answers
	PathReady   = "/readyz"  // 200 when the node can serve
	PathRole    = "/role"    // Report as JSON, with long poll
	PathStatus  = "/status"  // JSON for people and programs
	PathMetrics = "/metrics" // Prometheus text
)

// Headers that every answer of a node carries.
const (
	HeaderNode = "Dengine-Node" // id of the node that answered
	HeaderTerm = "Dengine-Term" // its current Raft term, decimal
)

// DefaultMaxLag is how many committed entries a follower may still have to
// apply for /replica to answer 200, where the request names no max_lag.
const DefaultMaxLag = 1000

// Role is a Raft role, or the phase before there is one.
type Role string

const (
	RoleStarting  Role = "starting"  // Raft is not running yet
	RoleFollower  Role = "follower"  // votes, follows a leader or waits for one
	RoleCandidate Role = "candidate" // asks for votes
	RoleLeader    Role = "leader"
	RoleLearner   Role = "learner" // gets the log, has no vote
	RoleStopped   Role = "stopped" // is shutting down, or must not take part
)

// Member is one node of the cluster as the answering node knows it. Addresses
// are host:port; HTTP and Health are empty where they are not known.
type Member struct {
	ID     string `json:"id"`
	HTTP   string `json:"http"`
	Health string `json:"health"`
	Raft   string `json:"raft"`
	Voter  bool   `json:"voter"`
}

// Leader names the leader a node follows. The zero value means "none known".
type Leader struct {
	ID   string `json:"id"`
	HTTP string `json:"http"`
}

// Report is a node's answer to GET /role.
type Report struct {
	ID   string `json:"id"`
	Role Role   `json:"role"`
	Term uint64 `json:"term"`
	// Primary and Replica are what /primary and /replica answer (the latter
	// for DefaultMaxLag); at most one of them is true.
	Primary bool   `json:"primary"`
	Replica bool   `json:"replica"`
	Ready   bool   `json:"ready"`
	Leader  Leader `json:"leader"`
	Applied uint64 `json:"applied"` // log index of the last entry in the state machine
	Commit  uint64 `json:"commit"`  // highest log index known to be committed
	// Following says that this node follows a leader whose appends reach it;
	// with Commit - Applied it decides about /replica for any max_lag.
	Following bool `json:"following"`
	// Identities says that this node keeps write identities: it executes a
	// write that carries one at most once.
	Identities bool `json:"identities"`
	// Epoch is opaque. It differs whenever role, term, leader, primary,
	// replica, ready or members differ, and between two runs of a node.
	Epoch   string   `json:"epoch"`
	Reason  string   `json:"reason,omitempty"` // why neither primary nor replica, for people
	Members []Member `json:"members,omitempty"`
}

// Lag is how many entries this node knows to be committed and has not applied.
func (r Report) Lag() uint64 {
	if r.Commit <= r.Applied {
		return 0
	}
	return r.Commit - r.Applied
}

// ReplicaWithin says whether /replica?max_lag=maxLag answers 200.
func (r Report) ReplicaWithin(maxLag uint64) bool {
	return r.Following && !r.Primary && r.Lag() <= maxLag
}
