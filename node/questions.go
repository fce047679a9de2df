package node

// question is what nodes ask each other beside raft's RPCs: one of its fields.
type question struct {
	// Identify: the caller starts with an empty directory.
	Identify *identify `json:"identify,omitempty"`
	// Suspect: the caller takes its leader for crashed.
	Suspect *suspect `json:"suspect,omitempty"`
}

// reply answers a question, in the field of the question's kind.
type reply struct {
	Error    string    `json:"error,omitempty"`
	Identity *whoIsWho `json:"identity,omitempty"`
	Opinion  *opinion  `json:"opinion,omitempty"`
}

// answer is this node's side of every question; from is who asks.
func (n *Node) answer(from string, q question) reply {
	switch {
	case q.Identify != nil:
		return n.vouch(from, *q.Identify)
	case q.Suspect != nil:
		return n.opine(from, *q.Suspect)
	}
	return reply{Error: "unknown question: the nodes' versions differ"}
}
