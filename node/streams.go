package node

import (
	"net"
	"sync"
)

// runOf names one run of a peer's process.
type runOf struct{ id, run string }

// stream is a connection of raft's that a peer has opened. raft closes it when it
// has read and answered everything that came over it.
type stream struct {
	net.Conn
	once  sync.Once
	ended func()
}

// Close implements net.Conn.
func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(s.ended)
	return err
}

// count counts a stream of raft's among its peer's until it is closed.
func (p *raftPort) count(c net.Conn, peer runOf) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[peer]++
	return &stream{Conn: c, ended: func() {
		p.mu.Lock()
		if p.open[peer]--; p.open[peer] == 0 {
			delete(p.open, peer)
		}
		p.mu.Unlock()
		p.ended()
	}}
}

// streamsOf returns how many streams of raft's a peer's process has open to here.
func (p *raftPort) streamsOf(peer runOf) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[peer]
}
