package lb

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
)

// startTunnel answers 101 and joins client and backend until both have ended or
// neither has said anything for the stream timeout.
func (b *Balancer) startTunnel(x *exchange) {
	u, be, silence := x.conn, x.backend, x.set.cfg.StreamTimeout
	x.conn, x.streams = nil, true
	h := &x.ctx.Response.Header
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", string(x.ans.protocol))
	head := h.AppendBytes(nil)
	rec := b.record(x, x.ans.status)
	long := x.long
	x.long = nil
	client := x.ctx.Conn()
	// The server would close the connection instead of handing it over while it
	// shuts down, so the head is written here.
	x.ctx.HijackSetNoResponse(true)
	b.tunnels.Add(1)
	b.front.takeOver(client, func() {
		be.pool.drop(u)
		long.long.Add(-1)
		b.finish(rec)
		b.tunnels.Done()
	})
	x.ctx.Hijack(func(c net.Conn) {
		defer b.front.forget(client)
		if _, err := c.Write(head); err == nil {
			rec.bytes = join(c, u, silence)
		}
	})
}

// lastPassed is when anything passed either way, by the monotonic clock.
type lastPassed struct {
	start time.Time
	after atomic.Int64 // nanoseconds since start
}

func (l *lastPassed) now() { l.after.Store(int64(time.Since(l.start))) }

func (l *lastPassed) ago() time.Duration { return time.Since(l.start) - time.Duration(l.after.Load()) }

// join copies both ways and returns how many bytes went to the client.
func join(client net.Conn, u *upstream, silence time.Duration) int64 {
	last := lastPassed{start: time.Now()}
	var wg sync.WaitGroup
	wg.Go(func() {
		pipe(u, client, client, silence, &last)
		closeWrite(u.Conn)
	})
	n := pipe(client, u.r, u, silence, &last)
	closeWrite(client)
	wg.Wait()
	return n
}

// pipe copies until from ends, to breaks, or both directions were silent for
// too long. conn is the connection that from reads.
func pipe(to io.Writer, from io.Reader, conn net.Conn, silence time.Duration, last *lastPassed) int64 {
	buf := make([]byte, 16<<10)
	var total int64
	for {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return total
		}
		n, err := from.Read(buf)
		if n > 0 {
			last.now()
			if c, ok := to.(net.Conn); ok {
				if err := c.SetWriteDeadline(time.Now().Add(silence)); err != nil {
					return total
				}
			}
			if _, err := to.Write(buf[:n]); err != nil {
				// The other direction must not wait for an end that never comes.
				_ = conn.SetReadDeadline(time.Now())
				closeBoth(to, conn)
				return total
			}
			total += int64(n)
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && last.ago() < silence:
		default:
			if !errors.Is(err, io.EOF) {
				closeBoth(to, conn)
			}
			return total
		}
	}
}

// closeBoth ends a tunnel that broke rather than ended.
func closeBoth(to io.Writer, conn net.Conn) {
	abort(conn)
	if c, ok := to.(net.Conn); ok {
		abort(c)
	}
}

// abort ends reading and writing without giving the descriptor up, which is its
// owner's business.
func abort(c net.Conn) {
	if tcp := tcpOf(c); tcp != nil {
		_ = tcp.CloseRead()
		_ = tcp.CloseWrite()
	}
}

func closeWrite(c net.Conn) {
	if tcp := tcpOf(c); tcp != nil {
		_ = tcp.CloseWrite()
	}
}

// tcpOf finds the TCP connection under the server's and our own wrappers.
func tcpOf(c net.Conn) *net.TCPConn {
	switch c := c.(type) {
	case *net.TCPConn:
		return c
	case *sock.Conn:
		return tcpOf(c.Conn)
	case *upstream:
		return tcpOf(c.Conn)
	case *visit:
		return tcpOf(c.Conn)
	case interface{ UnsafeConn() net.Conn }:
		return tcpOf(c.UnsafeConn())
	}
	return nil
}
