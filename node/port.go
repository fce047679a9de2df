package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// What a connection to the Raft port is for, its first byte.
const (
	streamRaft    = 'R' // raft's own RPCs
	streamCluster = 'C' // the cluster's other questions: frames of JSON
	streamWatch   = 'W' // nothing: it tells by its end that this process has ended
	streamTerm    = 'T' // brief questions: which term is it for you?
	streamIndex   = 'I' // brief questions: which index must a read see?
)

// questionIdle is how long a connection without a question stays open.
const questionIdle = time.Minute

// hello is the first frame of a connection. It says who speaks, since on
// loopback an address does not.
type hello struct {
	Cluster string `json:"cluster"`
	From    string `json:"from"`
	To      string `json:"to,omitempty"` // empty where the dialler knows only the address
	Run     string `json:"run"`          // names this run of the node's process
	lineage
}

// verdict is the answer to a hello.
type verdict struct {
	Error string `json:"error,omitempty"`
	Run   string `json:"run"` // the acceptor's
	// Patience is how long the acceptor elects nobody after an append that it has
	// accepted; 0 where it promises nothing (see lease.go).
	Patience time.Duration `json:"patience,omitempty"`
	lineage
	Older bool `json:"older,omitempty"` // the caller's is an older copy
}

// raftPort is the node's one port for the cluster. It is raft's StreamLayer and
// answers the cluster's own questions beside it, as Consul and rqlite do. It is
// open before raft runs (peers must be able to ask who we are) and refuses
// raft's streams until then.
type raftPort struct {
	ln       net.Listener
	self     hello // Cluster, From and Run
	idOf     func(addr string) string
	answer   func(from string, q question) reply
	briefs   map[byte]func() brief // by kind of stream
	met      func(peer string, v verdict)
	starts   *starts
	outdated func(peer, why string) // a peer says that this directory is an older copy
	patience time.Duration          // of the verdicts that are given
	timeout  time.Duration
	log      *zap.Logger

	raftOpen atomic.Bool
	streams  chan net.Conn
	closed   chan struct{}
	once     sync.Once
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // the cluster's own, which we must end ourselves
	open  map[runOf]int         // raft's streams that peers have opened
	ended func()                // one of those has ended
}

var _ raft.StreamLayer = (*raftPort)(nil)

func listenRaft(cfg Config, run string, met func(peer string, v verdict), log *zap.Logger) (*raftPort, error) {
	ln, err := net.Listen("tcp", cfg.RaftListen)
	if err != nil {
		return nil, fmt.Errorf("open the raft port: %w", err)
	}
	return &raftPort{
		ln:       ln,
		self:     hello{Cluster: cfg.Cluster, From: cfg.ID, Run: run},
		idOf:     cfg.idAt,
		met:      met,
		patience: cfg.patience(),
		timeout:  cfg.RPCTimeout,
		log:      log.Named("port"),
		streams:  make(chan net.Conn),
		closed:   make(chan struct{}),
		conns:    make(map[net.Conn]struct{}),
		open:     make(map[runOf]int),
	}, nil
}

// idAt returns which initial member has this raft address, or "".
func (c Config) idAt(addr string) string {
	for _, m := range c.InitialCluster {
		if m.Raft == addr {
			return m.ID
		}
	}
	return ""
}

// serve accepts until the port is closed. answer gets the cluster's questions, and
// briefs the brief ones; ended is called when a stream of raft's that a peer had
// opened has ended.
func (p *raftPort) serve(answer func(from string, q question) reply, briefs map[byte]func() brief, ended func()) {
	p.answer, p.briefs, p.ended = answer, briefs, ended
	p.wg.Go(func() {
		for {
			c, err := p.ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // out of file descriptors, say: raft's own pace is no better
				p.log.Warn("accept failed", zap.Error(err))
				select {
				case <-time.After(50 * time.Millisecond):
				case <-p.closed:
				}
				continue
			}
			p.wg.Go(func() { p.welcome(c) })
		}
	})
}

// welcome reads the hello and hands the connection to where it belongs.
func (p *raftPort) welcome(c net.Conn) {
	p.track(c, true)
	kind, peer, err := p.handshake(c)
	switch {
	case err != nil:
		p.log.Debug("connection refused", zap.Stringer("remote", c.RemoteAddr()), zap.Error(err))
	case kind == streamRaft:
		p.track(c, false)
		c = p.count(c, runOf{peer.From, peer.Run})
		select {
		case p.streams <- c:
		case <-p.closed:
			c.Close()
		}
		return
	case kind == streamWatch:
		_, _ = io.Copy(io.Discard, c) // until either side ends
	case p.briefs[kind] != nil:
		p.brief(c, p.briefs[kind])
	default:
		p.questions(c, peer.From)
	}
	p.track(c, false)
	c.Close()
}

func (p *raftPort) handshake(c net.Conn) (kind byte, h hello, err error) {
	if err := c.SetDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, h, err
	}
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return 0, h, err
	}
	if err := readFrame(c, &h); err != nil {
		return 0, h, err
	}
	v := verdict{Error: p.refusal(first[0], h), Run: p.self.Run, Patience: p.patience, lineage: p.self.lineage}
	if v.Error == "" {
		if err := p.starts.hear(h.From, h.lineage); err != nil {
			v.Error, v.Older = err.Error(), errors.Is(err, ErrOlderCopy)
		}
	}
	if err := writeFrame(c, v); err != nil {
		return 0, h, err
	}
	if v.Error != "" {
		return 0, h, errors.New(v.Error)
	}
	return first[0], h, c.SetDeadline(time.Time{})
}

// refusal says why a caller is not wanted, or "".
func (p *raftPort) refusal(kind byte, h hello) string {
	switch {
	case h.Cluster != p.self.Cluster:
		return fmt.Sprintf("this is cluster %q, not %q", p.self.Cluster, h.Cluster)
	case h.To != "" && h.To != p.self.From:
		return fmt.Sprintf("this is node %s, not %s: check the addresses in the initial cluster", p.self.From, h.To)
	case h.From == p.self.From:
		return fmt.Sprintf("this is node %s, and so says the caller: every node needs an id of its own", p.self.From)
	case kind == streamRaft && !p.raftOpen.Load():
		return fmt.Sprintf("node %s does not run raft yet", p.self.From)
	case kind != streamRaft && kind != streamCluster && kind != streamWatch && p.briefs[kind] == nil:
		return fmt.Sprintf("unknown kind of stream %q", kind)
	}
	return ""
}

// questions answers one after the other until the caller hangs up or is silent
// for too long.
func (p *raftPort) questions(c net.Conn, from string) {
	for {
		if err := c.SetReadDeadline(time.Now().Add(questionIdle)); err != nil {
			return
		}
		var q question
		if err := readFrame(c, &q); err != nil {
			return
		}
		if err := c.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil {
			return
		}
		if err := writeFrame(c, p.answer(from, q)); err != nil {
			return
		}
	}
}

// track notes connections that are not raft's, for close to end.
func (p *raftPort) track(c net.Conn, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !on {
		delete(p.conns, c)
		return
	}
	select {
	case <-p.closed:
		c.Close()
	default:
		p.conns[c] = struct{}{}
	}
}

// Accept returns the next connection for raft. It implements net.Listener.
func (p *raftPort) Accept() (net.Conn, error) {
	select {
	case c := <-p.streams:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Addr is the address that the port listens on. It implements net.Listener.
func (p *raftPort) Addr() net.Addr { return p.ln.Addr() }

// Close ends the port and waits for its goroutines. raft's transport calls it
// when raft has shut down; raft's own connections are the transport's to end.
func (p *raftPort) Close() error {
	p.once.Do(func() {
		p.mu.Lock()
		close(p.closed)
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.ln.Close()
	})
	p.wg.Wait()
	return nil
}
