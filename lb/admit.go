package lb

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// tooMany is the body of the answer to a connection over the limit.
const tooMany = `{"error":"too_many_connections","message":"the balancer has all the connections it may have now: try later"}`

// lingering bounds the refused connections that are still being read from.
const lingering = 64

// acceptPause is how long the front waits after it could not accept: where there is
// no room, some must be given back first.
const acceptPause = 10 * time.Millisecond

// accept hands connections on until stop.
func (f *front) accept() error {
	for {
		c, err := f.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case passing(err):
			f.log.Warn("cannot accept a connection", zap.Error(err))
			select {
			case <-time.After(acceptPause):
			case <-f.stopped:
			}
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		f.admit(sock.New(c))
	}
}

// passing says that accepting failed for lack of something that others will give
// back, because the client left already, or for an error that was pending on its
// connection: Linux reports those here (accept(2), section on error handling).
func passing(err error) bool {
	return slices.ContainsFunc([]unix.Errno{
		unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED, unix.EPERM,
		unix.ENETDOWN, unix.EPROTO, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH,
	}, func(e unix.Errno) bool { return errors.Is(err, e) })
}

// admit gives a connection to the newest server, or refuses it.
func (f *front) admit(c net.Conn) {
	for {
		v := f.newVisit(c, newGuest(c), nil)
		f.mu.Lock()
		g, full := f.current, f.open.Load() >= int64(f.limits.Conns)
		if !full {
			f.guests[v.guest] = struct{}{}
			f.open.Add(1)
		}
		f.mu.Unlock()
		if full {
			f.reject(v.Conn)
			return
		}
		if g.ln.give(v) {
			return
		}
		f.forget(v)
		f.mu.Lock()
		replaced := f.current != g
		f.mu.Unlock()
		if !replaced { // the front is shutting down
			_ = c.Close()
			return
		}
	}
}

// reject says why and closes. Closing at once, with a request unread, would
// reset the connection and take the answer away with it.
func (f *front) reject(c net.Conn) {
	f.stats.rejected.Add(1)
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: "+
		strconv.Itoa(len(tooMany))+"\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"+tooMany)
	closeWrite(c)
	select {
	case f.linger <- struct{}{}:
		f.serving.Go(func() {
			_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20))
			_ = c.Close()
			<-f.linger
		})
	default:
		_ = c.Close()
	}
}
