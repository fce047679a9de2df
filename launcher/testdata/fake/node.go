package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/valyala/fasthttp"
)

type list []string

func (l *list) Set(s string) error { *l = append(*l, s); return nil }
func (l *list) String() string     { return strings.Join(*l, " ") }

type nodeFlags struct {
	id, dir, raft, http, health string
	cluster                     list
	fail, deaf, never, slow     string
}

func parseNode(args []string) (nodeFlags, error) {
	var f nodeFlags
	fs := flag.NewFlagSet("dengine-node", flag.ContinueOnError)
	fs.StringVar(&f.id, "id", "", "")
	fs.StringVar(&f.dir, "data-dir", "", "")
	fs.StringVar(&f.raft, "raft-listen", "", "")
	fs.StringVar(&f.http, "http-listen", "", "")
	fs.StringVar(&f.health, "health-listen", "", "")
	fs.Var(&f.cluster, "initial-cluster", "")
	fs.String("log-level", "", "")
	fs.String("log-format", "", "")
	fs.StringVar(&f.fail, "fake-fail", "", "this node writes last words and exits 1, unless the file data-dir/../well is there")
	fs.StringVar(&f.deaf, "fake-deaf", "", "this node ignores SIGTERM")
	fs.StringVar(&f.never, "fake-never-ready", "", "this node never is ready")
	fs.StringVar(&f.slow, "fake-slow", "", "this node is ready a second after its start")
	return f, fs.Parse(args)
}

func runNode(args []string) error {
	f, err := parseNode(args)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	fmt.Fprintf(os.Stderr, `{"level":"info","msg":"starting","node":%q}`+"\n", f.id)
	if f.fail == f.id {
		if _, err := os.Stat(filepath.Join(f.dir, "..", "well")); err != nil {
			fmt.Fprintln(os.Stderr, "my disk is on fire")
			return errors.New("cannot open the data folder")
		}
	}
	n := &node{flags: f, stop: make(chan struct{}), changed: make(chan struct{}), run: time.Now().UnixNano()}
	raft, err := net.Listen("tcp", f.raft)
	if err != nil {
		return err
	}
	go answerAlive(raft)
	h := &healthcheck.Handler{Source: n, Done: n.stop}
	for addr, handler := range map[string]fasthttp.RequestHandler{f.health: h.Serve, f.http: n.serve} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go (&fasthttp.Server{Handler: handler}).Serve(ln)
	}
	var wg sync.WaitGroup
	wg.Go(n.elections)
	for range signals {
		if f.deaf == f.id {
			continue
		}
		close(n.stop)
		wg.Wait()
		fmt.Fprintf(os.Stderr, `{"level":"info","msg":"stopped","node":%q}`+"\n", f.id)
		return nil
	}
	return nil
}

// answerAlive greets whoever connects to the Raft port: a paused node does not.
func answerAlive(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Write([]byte("!"))
		conn.Close()
	}
}

func alive(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second) // a busy machine elects nobody
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

type term struct {
	Leader string
	Term   uint64
}

type node struct {
	flags nodeFlags
	stop  chan struct{}
	run   int64

	mu      sync.Mutex
	now     term
	quorum  bool
	changed chan struct{}

	store sync.Map
}

// peers maps ids to Raft addresses.
func (n *node) peers() map[string]string {
	out := make(map[string]string)
	for _, one := range n.flags.cluster {
		fields := make(map[string]string)
		for part := range strings.SplitSeq(one, ",") {
			k, v, _ := strings.Cut(part, "=")
			fields[k] = v
		}
		out[fields["id"]] = fields["raft"]
	}
	return out
}

// elections looks at the shared file each few milliseconds.
func (n *node) elections() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.look(false)
		case <-n.stop:
			n.look(true)
			return
		}
	}
}

func (n *node) look(leaving bool) {
	file, err := os.OpenFile(filepath.Join(n.flags.dir, "..", "election"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	var t term
	read := func() { file.Seek(0, 0); t = term{}; json.NewDecoder(file).Decode(&t) }
	write := func() { file.Truncate(0); file.Seek(0, 0); json.NewEncoder(file).Encode(t) }
	peers := n.peers()
	ok := 0
	leaderOK := false
	read()
	for id, addr := range peers {
		up := id == n.flags.id || alive(addr)
		if up {
			ok++
		}
		leaderOK = leaderOK || up && id == t.Leader
	}
	quorum := ok > len(peers)/2
	if leaving || quorum && !leaderOK {
		syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		seen := t
		read()
		switch {
		case leaving && t.Leader == n.flags.id:
			t.Leader = ""
			write()
		case !leaving && t == seen: // nobody was quicker
			t = term{n.flags.id, t.Term + 1}
			write()
		}
		syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now != t || n.quorum != quorum {
		n.now, n.quorum = t, quorum
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

func (n *node) Report() healthcheck.Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := healthcheck.Report{ID: n.flags.id, Role: healthcheck.RoleFollower, Term: n.now.Term, Applied: 7, Commit: 7}
	slow := n.flags.slow == n.flags.id && time.Since(time.Unix(0, n.run)) < time.Second
	known := !slow && n.now.Leader != "" && n.quorum && n.flags.never != n.flags.id
	if known {
		r.Leader.ID = n.now.Leader
		r.Ready = true
		r.Primary = n.now.Leader == n.flags.id
		r.Replica, r.Following = !r.Primary, !r.Primary
	} else {
		r.Reason = "no leader is known"
	}
	if r.Primary {
		r.Role = healthcheck.RoleLeader
	}
	r.Epoch = fmt.Sprint(n.run, n.now, n.quorum, slow)
	return r
}

func (n *node) Changed(epoch string) <-chan struct{} {
	now := n.Report().Epoch
	n.mu.Lock()
	defer n.mu.Unlock()
	if now != epoch {
		done := make(chan struct{})
		close(done)
		return done
	}
	return n.changed
}

func (n *node) serve(ctx *fasthttp.RequestCtx) {
	var body struct{ Key, Value string }
	switch key, _ := strings.CutPrefix(string(ctx.Path()), "/kv/"); {
	case ctx.IsGet():
		v, ok := n.store.Load(key)
		if !ok {
			ctx.Error(`{"error":"key_not_found"}`, 404)
			return
		}
		fmt.Fprintf(ctx, `{"value":%q}`, v)
	case json.Unmarshal(ctx.PostBody(), &body) != nil || body.Key == "":
		ctx.Error(`{"error":"bad_request"}`, 400)
	case !n.Report().Primary:
		ctx.Error(`{"error":"not_leader"}`, 503)
	default:
		n.store.Store(body.Key, body.Value)
		ctx.SetBodyString("{}")
	}
}
