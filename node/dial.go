package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// connect dials a peer's port and introduces this node. to is the peer's id, or
// "" where only the address is known. It returns which run of the peer answers.
func (p *raftPort) connect(ctx context.Context, kind byte, to, addr string) (c net.Conn, run string, err error) {
	c, v, err := p.greet(ctx, kind, to, addr)
	return c, v.Run, err
}

// dialRaft is connect for a stream of raft's. What the peer promises about leases
// is noted before anything is sent over it.
func (p *raftPort) dialRaft(ctx context.Context, to, addr string) (net.Conn, error) {
	c, v, err := p.greet(ctx, streamRaft, to, addr)
	if err == nil {
		p.met(to, v)
	}
	return c, err
}

func (p *raftPort) greet(ctx context.Context, kind byte, to, addr string) (c net.Conn, v verdict, err error) {
	c, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, v, err
	}
	h := p.self
	h.To = to
	err = within(ctx, c, func() error {
		if _, err := c.Write([]byte{kind}); err != nil {
			return err
		}
		if err := writeFrame(c, h); err != nil {
			return err
		}
		return readFrame(c, &v)
	})
	switch {
	case err != nil:
	case v.Older:
		p.outdated(cmp.Or(to, addr), v.Error)
		err = errors.New(v.Error)
	case v.Error != "":
		err = errors.New(v.Error)
	case to != "":
		err = p.starts.hear(to, v.lineage)
	}
	if err != nil {
		c.Close()
		return nil, verdict{}, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return c, v, nil
}

// within lets an exchange on a connection last no longer than ctx.
func within(ctx context.Context, c net.Conn, exchange func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err := exchange()
	if !stop() { // the deadline is set, or is about to be
		return context.Cause(ctx)
	}
	return err
}

// ask puts one question to a peer.
func (p *raftPort) ask(ctx context.Context, addr string, q question) (r reply, err error) {
	c, _, err := p.connect(ctx, streamCluster, p.idOf(addr), addr)
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	err = within(ctx, c, func() error {
		if err := writeFrame(c, q); err != nil {
			return err
		}
		return readFrame(c, &r)
	})
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

// Dial connects raft to a peer. It implements raft.StreamLayer.
func (p *raftPort) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = p.timeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.dialRaft(ctx, p.idOf(string(addr)), string(addr))
}
