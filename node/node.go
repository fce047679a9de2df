package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// Node is a running node. Its methods may be called from any goroutine.
//
// Goroutines: one for each server (health, API), those of the Raft port, and
// run, which gets the node admitted, starts raft and watches the role. All are
// in group; Close cancels ctx and waits for them. The API's loops are quick's, which
// Close ends with the API.
type Node struct {
	cfg Config
	log *zap.Logger

	dir     *dataDir
	memory  *memory
	port    *raftPort
	contact *contact
	crash   *crash
	board   *board
	core    atomic.Pointer[core] // nil until raft runs
	joined  atomic.Bool          // the directory has taken part in Raft
	lost    atomic.Bool          // and must not, since an earlier one has
	closing atomic.Bool
	removed atomic.Pointer[string] // why it counts as no member any more; nil while it is one
	phase   atomic.Pointer[string]
	kick    chan struct{}

	reshaping sync.Mutex // held while this leader changes the members

	reporting sync.Mutex // held by Report
	looked    time.Time  // when it was last called
	resumed   time.Time  // when this process last went on after it was stopped

	confirms  *rounds // the leader's
	asks      *rounds // this node's, whoever leads
	confirmer *confirmer
	asker     *asker
	fresh     freshness

	counters counters

	api      *fasthttp.Server
	quick    *edge.Quick
	health   *fasthttp.Server
	apiLn    net.Listener
	healthLn net.Listener

	ctx    context.Context
	cancel context.CancelCauseFunc
	group  sync.WaitGroup
	once   sync.Once
	closed error // what Close returned

	bundles  bundles
	flocks   sync.Pool // of usual writes that came in bundles
	answers  sync.Pool // *[]byte, for those to reads that waited together
	spawning sync.Mutex
	ended    bool // Close waits for the group: nothing is spawned any more
}

// Open starts a node. It returns once the ports are open and, for a node that
// has a history, Raft runs; a node with an empty directory goes on in the
// background to find out whether it may take part (Report tells). Whatever ends
// the node later shows in Done and Err.
func Open(cfg Config, log *zap.Logger) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	n := &Node{
		cfg: cfg, log: log.With(zap.String("node", cfg.ID)),
		contact: newContact(), crash: newCrash(), board: newBoard(), kick: make(chan struct{}, 1),
	}
	n.ctx, n.cancel = context.WithCancelCause(context.Background())
	n.prepareReads()
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open() (err error) {
	if n.dir, err = openDataDir(n.cfg.DataDir, n.cfg.Cluster, n.cfg.ID, n.cfg.LogStore); err != nil {
		return err
	}
	n.cfg.LogStore = n.dir.id.LogStore
	if err := n.roomToStart(); err != nil {
		return err
	}
	if n.memory, err = openMemory(n.dir.file(peersFile), n.dir.id.Joined, n.dir.id.Rejoined || n.cfg.Join && !n.dir.id.Joined); err != nil {
		return err
	}
	known, err := openStarts(n.dir.file(startsFile), n.board.run)
	if err != nil {
		return err
	}
	n.joined.Store(n.dir.id.Joined)
	n.setPhase("it is starting")
	if n.dir.id.Lost != "" && !n.cfg.Join {
		_ = n.stayLost() // run returns it
	}
	if n.healthLn, err = listen(n.cfg.HealthListen, "health"); err != nil {
		return err
	}
	if n.apiLn, err = listen(n.cfg.HTTPListen, "HTTP"); err != nil {
		return err
	}
	if n.port, err = listenRaft(n.cfg, n.board.run, n.contact.meet, n.log); err != nil {
		return err
	}
	n.port.starts, n.port.outdated = known, n.outdated
	n.port.self.lineage = known.lineage(n.dir.id.Incarnation)
	if err := n.serve(); err != nil {
		return err
	}
	n.port.serve(n.answer, map[byte]func() brief{streamTerm: n.sayTerm, streamIndex: n.sayIndex}, n.crash.wake)
	first := make(chan struct{})
	n.group.Go(func() { n.announce(n.cfg.HeartbeatTimeout, first) })
	if n.dir.id.Joined {
		<-first // before it may promise anything
		if n.ctx.Err() != nil {
			return n.Err()
		}
		if err := n.startRaft(nil); err != nil {
			return err
		}
	}
	n.group.Go(func() {
		if err := n.run(); err != nil && n.ctx.Err() == nil {
			n.fail(err)
		}
	})
	return nil
}

// listen opens a port, or none for an empty address.
func listen(addr, what string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open the %s port: %w", what, err)
	}
	return ln, nil
}

// serve starts the servers on the ports that are wanted.
func (n *Node) serve() (err error) {
	if n.healthLn != nil {
		h := &healthcheck.Handler{Source: n, Extra: n.healthExtra(), Done: n.ctx.Done()}
		n.health = edge.NewServer(edge.DefaultLimits(), n.log.Named("health"), n.serveHealth(h.Serve), nil)
		n.group.Go(func() { n.served("health", n.health.Serve(edge.LimitConns(n.healthLn, edge.DefaultLimits().Conns))) })
	}
	if n.apiLn != nil {
		n.api = edge.NewServer(n.cfg.apiLimits(), n.log.Named("api"), n.Serve, n.stampEdge)
		if n.quick, err = edge.NewQuick(edge.LimitConns(n.apiLn, n.cfg.Limits.Conns), n.api, quickAPI{n}, quickLoops(), n.log.Named("api")); err != nil {
			return err
		}
		n.group.Go(func() { n.served("HTTP", n.api.Serve(n.quick)) })
	}
	return nil
}

// quickLoops is how many goroutines look after the API's connections: one can do so for what
// four processors do with a log, a disk and a state machine.
func quickLoops() int { return max(1, runtime.GOMAXPROCS(0)/4) }

func (n *Node) served(what string, err error) {
	if err != nil && !n.closing.Load() {
		n.fail(fmt.Errorf("the %s port failed: %w", what, err))
	}
}

// run gets a new node admitted, starts raft and watches the role.
func (n *Node) run() error {
	if n.core.Load() == nil {
		if err := n.takePart(); errors.Is(err, ErrLostMemory) {
			// The node stays, to say so on its ports; it neither votes nor serves.
			n.Report()
			n.log.Error("this node must not vote", zap.Error(err))
			<-n.ctx.Done()
			return nil
		} else if err != nil {
			return err
		}
	}
	c := n.core.Load()
	if n.cfg.CrashDetection {
		n.group.Go(func() { n.watchLeader(n.ctx, c) })
	}
	n.group.Go(n.catchUp)
	n.group.Go(func() { n.tendMembers(n.ctx, c) })
	n.watchRole(n.ctx, c)
	return nil
}

func (n *Node) takePart() error {
	if n.cfg.Join {
		return n.join()
	}
	if n.dir.id.Lost != "" {
		return n.lostError()
	}
	if err := n.seekAdmission(n.ctx); err != nil {
		return err
	}
	return n.startRaft(nil)
}

// fail ends the node; the first cause counts.
func (n *Node) fail(err error) {
	if n.ctx.Err() == nil {
		n.log.Error("the node stops", zap.Error(err))
	}
	n.cancel(err)
}

// Done is closed when the node has failed or is being closed.
func (n *Node) Done() <-chan struct{} { return n.ctx.Done() }

// Err says why the node ended: nil while it runs and after a plain Close.
func (n *Node) Err() error {
	if err := context.Cause(n.ctx); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// HTTPAddr is the address of the HTTP API, "" where there is none.
func (n *Node) HTTPAddr() string { return addrOf(n.apiLn) }

// HealthAddr is the address of the health port, "" where there is none.
func (n *Node) HealthAddr() string { return addrOf(n.healthLn) }

// RaftAddr is the address of the Raft port.
func (n *Node) RaftAddr() string { return n.port.Addr().String() }

func addrOf(ln net.Listener) string {
	if ln == nil {
		return ""
	}
	return ln.Addr().String()
}
