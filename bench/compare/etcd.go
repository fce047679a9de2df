package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcd is a cluster of three members, each a process of this program.
type etcd struct {
	members  []*harness.Process
	ctx      context.Context // of all requests; ends with the cluster
	admin    *clientv3.Client
	leader   string // its address for clients
	follower string
}

// startEtcd returns a cluster that has every key on every member.
func startEtcd(t harness.T) *etcd {
	t.Helper()
	self := executable(t)
	const size = 3
	ctx, cancel := context.WithCancel(context.Background())
	e := &etcd{ctx: ctx}
	dir, ports := t.TempDir(), harness.FreePorts(t, 2*size)
	var initial []string
	for i := range size {
		initial = append(initial, fmt.Sprintf("etcd%d=http://%s", i+1, ports[size+i]))
	}
	for i := range size {
		name := fmt.Sprintf("etcd%d", i+1)
		p := harness.Foreign(t, dir, self, []string{
			memberCommand, "--name", name, "--dir", filepath.Join(dir, name),
			"--client", ports[i], "--peer", ports[size+i], "--cluster", strings.Join(initial, ","),
		})
		p.Name, p.HTTP = name, ports[i]
		e.members = append(e.members, p)
	}
	t.Cleanup(cancel) // before the members end, so that no client tries them again
	e.admin = e.client(t, ports[:size]...)
	e.look(t)
	harness.Eventually(t, "every key in etcd", func() error { return e.fill(t) })
	e.look(t)
	return e
}

func (e *etcd) pids() []int { return pids(e.members) }

// look finds out who leads.
func (e *etcd) look(t harness.T) {
	t.Helper()
	harness.Eventually(t, "etcd's members to agree on a leader", e.findLeader)
}

// findLeader asks every member who leads.
func (e *etcd) findLeader() error {
	leader, follower := "", ""
	var term uint64
	for _, p := range e.members {
		ctx, cancel := context.WithTimeout(e.ctx, harness.Patience)
		s, err := e.admin.Status(ctx, p.HTTP)
		cancel()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", p.Name, err)
		case s.Leader == 0 || (term != 0 && s.RaftTerm != term):
			return fmt.Errorf("%s: leader %x in term %d, others are in %d", p.Name, s.Leader, s.RaftTerm, term)
		case s.Leader == s.Header.MemberId:
			leader = p.HTTP
		default:
			follower = p.HTTP
		}
		term = s.RaftTerm
	}
	if leader == "" {
		return errors.New("no member says that it leads")
	}
	e.leader, e.follower = leader, follower
	return nil
}

func (e *etcd) steady(t harness.T) error {
	t.Helper()
	before := e.leader
	e.look(t)
	if e.leader != before {
		return fmt.Errorf("etcd's leader changed from %s to %s", before, e.leader)
	}
	return nil
}

// addresses are those of all members.
func (e *etcd) addresses() (out []string) {
	for _, p := range e.members {
		out = append(out, p.HTTP)
	}
	return out
}

// client returns etcd's own one for these members, whom it asks in turn over a
// connection to each.
func (e *etcd) client(t harness.T, addresses ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: addresses, Logger: zap.NewNop(), Context: e.ctx})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it says only that its context has ended
	return c
}

// fill writes every key, and waits until every member has them.
func (e *etcd) fill(t harness.T) error {
	t.Helper()
	for n := range keys {
		if _, err := e.admin.Put(e.ctx, key(n), value); err != nil {
			return err
		}
	}
	for _, addr := range e.addresses() { // what is linearizable waits for all before it
		if _, err := e.client(t, addr).Get(e.ctx, key(0)); err != nil {
			return err
		}
	}
	return nil
}

// clients is how many clients share the load. Each multiplexes its requests; of 1,
// 4, 16 and 64 this many cost etcd the least CPU time for a request.
const clients = 4

// reads has n range requests of one key in flight at these members.
func (e *etcd) reads(t harness.T, n int, addresses []string, options ...clientv3.OpOption) keyed {
	t.Helper()
	return e.load(t, n, addresses, func(c *clientv3.Client, worker int) func() error {
		next := pick(worker)
		return func() error {
			r, err := c.Get(e.ctx, key(next()), options...)
			if err == nil && (len(r.Kvs) != 1 || len(r.Kvs[0].Value) != valueBytes) {
				err = fmt.Errorf("etcd found %d keys", len(r.Kvs))
			}
			return err
		}
	})
}

// writes has n put requests in flight at the leader.
func (e *etcd) writes(t harness.T, n int) keyed {
	t.Helper()
	return e.load(t, n, []string{e.leader}, func(c *clientv3.Client, worker int) func() error {
		next := pick(worker)
		return func() error {
			_, err := c.Put(e.ctx, writtenKey(next()), value)
			return err
		}
	})
}

// load has n requests in flight at these members. each returns what sends one after
// the other, for one worker.
func (e *etcd) load(t harness.T, n int, addresses []string, each func(c *clientv3.Client, worker int) func() error) keyed {
	t.Helper()
	var pool []*clientv3.Client
	for range min(clients, n) {
		pool = append(pool, e.client(t, addresses...))
	}
	of := func(worker int) func() error { return each(pool[worker%len(pool)], worker) }
	return keyed{Load: benchmark.Clients(n, of), close: func() {
		for _, c := range pool {
			_ = c.Close() // as in client
		}
	}}
}
