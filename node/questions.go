package node

import (
	"context"
	"errors"
	"sync"
)

// question is what nodes ask each other beside raft's RPCs: one of its fields.
type question struct {
	// Identify: the caller starts with an empty directory.
	Identify *identify `json:"identify,omitempty"`
	// Suspect: the caller takes its leader for crashed.
	Suspect *suspect `json:"suspect,omitempty"`
	// Join: the caller wants to be added as a learner.
	Join *struct{} `json:"join,omitempty"`
	// Progress: how far is the log, and whom does it follow?
	Progress *struct{} `json:"progress,omitempty"`
	// Roll: who are the members?
	Roll *struct{} `json:"roll,omitempty"`
}

// reply answers a question, in the field of the question's kind.
type reply struct {
	Error    string    `json:"error,omitempty"`
	Identity *whoIsWho `json:"identity,omitempty"`
	Opinion  *opinion  `json:"opinion,omitempty"`
	Joined   *joined   `json:"joined,omitempty"`
	Progress *progress `json:"progress,omitempty"`
	Roll     *roll     `json:"roll,omitempty"`
}

// errOtherVersion: a node has answered, but not what it was asked.
var errOtherVersion = errors.New("it answers something else: the nodes' versions differ")

// answer is this node's side of every question; from is who asks.
func (n *Node) answer(from string, q question) reply {
	switch {
	case q.Identify != nil:
		return n.vouch(from, *q.Identify)
	case q.Suspect != nil:
		return n.opine(from, *q.Suspect)
	case q.Join != nil:
		return n.letIn(from)
	case q.Progress != nil:
		return n.sayProgress()
	case q.Roll != nil:
		return n.sayRoll()
	}
	return reply{Error: "unknown question: the nodes' versions differ"}
}

// others are the other nodes of the initial cluster.
func (c Config) others() []peerAt {
	var out []peerAt
	for _, m := range c.InitialCluster {
		if m.ID != c.ID {
			out = append(out, peerAt{m.ID, m.Raft})
		}
	}
	return out
}

// askAll puts a question to nodes at once, and gives each one's answer, or why there
// is none, to heard, which is never called twice at a time. It returns when all have
// answered; ctx bounds each.
func (n *Node) askAll(ctx context.Context, to []peerAt, q question, heard func(p peerAt, r reply, err error)) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range to {
		wg.Go(func() {
			r, err := n.port.ask(ctx, p.addr, q)
			mu.Lock()
			defer mu.Unlock()
			heard(p, r, err)
		})
	}
	wg.Wait()
}
