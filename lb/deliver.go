package lb

import (
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// deliver makes the answer on x.conn the client's. An error means that it broke
// before the client was given any of it; ctx.Response is as new then.
func (b *Balancer) deliver(x *exchange) error {
	b.noteIndex(x.set, x.backend, x.class, &x.ans)
	u, be := x.conn, x.backend
	resp := &x.ctx.Response
	x.ans.copyTo(resp, changes{isHead: x.isHead, sequence: x.ticket.session != nil, unknown: x.doubt})
	if x.whole {
		resp.AppendBody(x.ride.block[x.ans.size:])
		return nil
	}
	if _, err := u.r.Discard(x.ans.size); err != nil {
		return b.undo(x, err)
	}
	length := x.ans.length
	switch {
	case x.ans.status == fasthttp.StatusSwitchingProtocols:
		b.startTunnel(x)
		return nil
	case length >= 0 && length <= copyAnswer:
		if err := x.copyBody(length); err != nil {
			return b.undo(x, err)
		}
		x.conn = nil
		if x.ans.keep && u.r.Buffered() == 0 {
			be.pool.put(u)
		} else {
			be.pool.drop(u)
		}
		return nil
	}

	s := b.streams.Get().(*bodyStream) //nolint:forcetypeassert // the pool's New makes nothing else
	*s = bodyStream{
		b: b, u: u, be: be, client: x.ctx.Conn(), keep: x.ans.keep,
		chunked: length == framingChunked, toEnd: length == framingNone,
		silence: x.set.cfg.StreamTimeout, write: x.set.cfg.Limits.WriteTimeout,
		record: b.record(x, x.ans.status),
	}
	if length >= 0 {
		s.left = length
	}
	x.conn, x.streams = nil, true
	u.breakable.Store(false) // the client gets it as it comes: it cannot be had again
	if length < 0 && !x.ctx.Request.Header.IsHTTP11() {
		b.startUnframed(x, s)
		return nil
	}
	resp.SetBodyStream(s, max(length, -1))
	resp.ImmediateHeaderFlush = true
	return nil
}

func (b *Balancer) undo(x *exchange, err error) error {
	x.backend.pool.drop(x.conn)
	x.conn = nil
	cleanAnswer(x.ctx)
	return err
}

// cleanAnswer forgets an answer that was begun.
func cleanAnswer(ctx *fasthttp.RequestCtx) {
	ctx.Response.Reset()
	ctx.Response.Header.SetNoDefaultContentType(true)
}

// copyBody reads a short body whole.
func (x *exchange) copyBody(length int) error {
	r := x.conn.r
	if r.Buffered() < length {
		if err := x.conn.SetReadDeadline(time.Now().Add(x.set.cfg.UpstreamTimeout)); err != nil {
			return err
		}
	}
	for length > 0 {
		if _, err := r.Peek(1); err != nil {
			return err
		}
		n := min(length, r.Buffered())
		piece, err := r.Peek(n)
		if err != nil {
			return err
		}
		x.ctx.Response.AppendBody(piece)
		if _, err := r.Discard(n); err != nil {
			return err
		}
		length -= n
	}
	return nil
}

// startUnframed sends an answer of unknown length to an HTTP/1.0 client, which
// knows no chunks: its end is the end of the connection.
func (b *Balancer) startUnframed(x *exchange, s *bodyStream) {
	x.ctx.Response.SetConnectionClose()
	head := x.ctx.Response.Header.AppendBytes(nil)
	x.ctx.HijackSetNoResponse(true)
	b.flights.Add(1)
	client := s.client
	b.front.takeOver(client, func() {
		_ = s.Close()
		b.flights.Done()
	})
	x.ctx.Hijack(func(c net.Conn) {
		defer b.front.forget(client)
		if err := c.SetWriteDeadline(time.Now().Add(s.write)); err != nil {
			return
		}
		if _, err := c.Write(head); err != nil {
			return
		}
		_, _ = s.WriteTo(c) // its end, clean or not, is the only thing to tell
	})
}
