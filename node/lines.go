package node

import (
	"context"
	"net"
	"sync"
)

// lines are this node's for one kind of brief question, by peer.
type lines struct {
	n        *Node
	kind     byte // streamTerm or streamIndex
	answered func(peer string, b brief)

	mu     sync.Mutex
	to     map[peerAt]*line
	closed bool
}

// peerAt is a peer at an address: one that has moved is another.
type peerAt struct{ id, addr string }

func newLines(n *Node, kind byte, answered func(peer string, b brief)) *lines {
	return &lines{n: n, kind: kind, answered: answered, to: make(map[peerAt]*line)}
}

// ask puts a question to a peer; see line.ask.
func (s *lines) ask(p peerAt, number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	l := s.to[p]
	if l == nil {
		l = &line{
			dial: func(ctx context.Context) (net.Conn, error) {
				conn, _, err := s.n.port.connect(ctx, s.kind, p.id, p.addr)
				return conn, err
			},
			patience: s.n.cfg.HeartbeatTimeout,
			answered: func(b brief) { s.answered(p.id, b) },
		}
		s.to[p] = l
	}
	l.ask(number, s.n.spawn)
}

// keep closes the lines to all but these peers.
func (s *lines) keep(peers ...peerAt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.to) <= len(peers) {
		return
	}
	wanted := make(map[peerAt]bool, len(peers))
	for _, p := range peers {
		wanted[p] = true
	}
	for p, l := range s.to {
		if !wanted[p] {
			l.close()
			delete(s.to, p)
		}
	}
}

// close ends them all.
func (s *lines) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.to {
		l.close()
	}
}
