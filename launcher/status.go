package launcher

import "time"

// State is what a process is doing.
type State string

const (
	StateStarting State = "starting" // not started for the first time yet
	StateRunning  State = "running"
	StatePaused   State = "paused" // by SIGSTOP
	StateExited   State = "exited" // by itself, with a code
	StateKilled   State = "killed" // by a signal
)

// ProcessStatus is one process of the cluster.
type ProcessStatus struct {
	Name    string     `json:"name"`
	State   State      `json:"state"`
	PID     int        `json:"pid,omitempty"`     // while it runs
	Started time.Time  `json:"started,omitzero"`  // of the current or last run
	Ended   *time.Time `json:"ended,omitempty"`   // of the last run, if it is over
	Exit    *Exit      `json:"exit,omitempty"`    // likewise
	Log     string     `json:"log"`               // file
	Uptime  float64    `json:"uptime_s,omitzero"` // seconds since Started, while it runs
}

// NodeStatus is one node. Role, Term and the indexes are what the node itself
// says at this moment, and zero while it does not answer.
type NodeStatus struct {
	ProcessStatus
	HTTP    string `json:"http"` // host:port
	Health  string `json:"health"`
	Raft    string `json:"raft"`
	Role    string `json:"role,omitempty"`
	Term    uint64 `json:"term,omitempty"`
	Primary bool   `json:"primary"` // takes writes
	Ready   bool   `json:"ready"`   // can serve
	Applied uint64 `json:"applied"` // log index
	// Lag is how many entries it still has to apply to be where the most
	// advanced node knows the cluster to be.
	Lag    uint64 `json:"lag"`
	Reason string `json:"reason,omitempty"` // why it is not ready
}

// FrontStatus is the balancer.
type FrontStatus struct {
	ProcessStatus
	Kind  Balancer `json:"kind"`
	HTTP  string   `json:"http"`
	Admin string   `json:"admin"`
}

// Quorum counts the voters that run (paused ones do not).
type Quorum struct {
	Nodes   int  `json:"nodes"`
	Running int  `json:"running"`
	Needed  int  `json:"needed"`
	OK      bool `json:"ok"`
}

// Status is the answer to "status": stable, fields are only ever added.
type Status struct {
	PID       int       `json:"pid"` // of dengine-up
	Started   time.Time `json:"started"`
	At        time.Time `json:"at"`    // when this was true
	Ready     bool      `json:"ready"` // the start is complete
	Dir       string    `json:"dir"`
	Temporary bool      `json:"temporary"` // Dir is removed at the end
	Leader    string    `json:"leader"`    // node that takes writes; empty: none
	Term      uint64    `json:"term"`      // the leader's, else the highest seen
	Quorum    Quorum    `json:"quorum"`

	Nodes    []NodeStatus `json:"nodes"`
	Balancer *FrontStatus `json:"balancer,omitempty"`
}

// summarize fills in what follows from the nodes: lags, leader, term, quorum.
func (s *Status) summarize() {
	var furthest uint64
	s.Quorum = Quorum{Nodes: len(s.Nodes), Needed: len(s.Nodes)/2 + 1}
	s.Leader, s.Term = "", 0
	for _, n := range s.Nodes {
		furthest = max(furthest, n.Applied+n.Lag)
		if n.State == StateRunning {
			s.Quorum.Running++
		}
		if n.Primary && (s.Leader == "" || n.Term > s.Term) {
			s.Leader, s.Term = n.Name, n.Term
		}
		if s.Leader == "" {
			s.Term = max(s.Term, n.Term)
		}
	}
	s.Quorum.OK = s.Quorum.Running >= s.Quorum.Needed
	for i := range s.Nodes {
		if n := &s.Nodes[i]; n.Role != "" {
			n.Lag = furthest - n.Applied
		}
	}
}
