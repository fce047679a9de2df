package once

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// idleTime of a kept connection is shorter than any server's own.
const idleTime = 3 * time.Second

// Client speaks HTTP/1.1 to one address over connections that it keeps. It may be
// used by several goroutines at once.
type Client struct {
	Addr    string        // host:port
	Timeout time.Duration // for one request, and for connecting

	mu   sync.Mutex
	idle []*conn // the last used is the last
}

type conn struct {
	net.Conn
	raw  syscall.RawConn
	in   *bufio.Reader
	used time.Time
}

// ErrNotSent is an attempt of which no byte left.
var ErrNotSent = errors.New("no connection")

// Do sends one request. Headers are name, value, name, …. An error that is not
// ErrNotSent leaves open whether the request was executed.
func (c *Client) Do(method, path string, body []byte, headers ...string) (Answer, error) {
	k, err := c.get()
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	a, keep, err := k.exchange(c, method, path, body, headers)
	if err != nil || !keep {
		k.Close()
		return a, err
	}
	k.used = time.Now()
	c.mu.Lock()
	c.idle = append(c.idle, k)
	c.mu.Unlock()
	return a, nil
}

// get returns a kept connection that is still good, or a new one.
func (c *Client) get() (*conn, error) {
	for {
		k := c.pop()
		if k == nil {
			break
		}
		if time.Since(k.used) < idleTime && k.silent() {
			return k, nil
		}
		k.Close()
	}
	nc, err := net.DialTimeout("tcp", c.Addr, c.Timeout)
	if err != nil {
		return nil, err
	}
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &conn{Conn: nc, raw: raw, in: bufio.NewReader(nc)}, nil
}

func (c *Client) pop() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == 0 {
		return nil
	}
	k := c.idle[len(c.idle)-1]
	c.idle = c.idle[:len(c.idle)-1]
	return k
}

// Close ends the connections that are kept; those in use end with their requests.
func (c *Client) Close() {
	for k := c.pop(); k != nil; k = c.pop() {
		k.Close()
	}
}

// silent says that the other side has sent nothing and not hung up: a request on
// a connection that it has closed would count as its failure and is not.
func (k *conn) silent() bool {
	silent := false
	err := k.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		silent = errors.Is(err, unix.EAGAIN)
		return true
	})
	return err == nil && silent && k.in.Buffered() == 0
}

func (k *conn) exchange(c *Client, method, path string, body []byte, headers []string) (a Answer, keep bool, err error) {
	if err := k.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
		return a, false, err
	}
	b := make([]byte, 0, 256+len(body))
	b = append(append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: "...), c.Addr...)
	for i := 0; i+1 < len(headers); i += 2 {
		b = append(append(append(append(b, "\r\n"...), headers[i]...), ": "...), headers[i+1]...)
	}
	if method != http.MethodGet {
		b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	}
	b = append(append(b, "\r\n\r\n"...), body...)
	if _, err := k.Write(b); err != nil {
		return a, false, err
	}
	resp, err := http.ReadResponse(k.in, &http.Request{Method: method})
	if err != nil {
		return a, false, err
	}
	defer resp.Body.Close()
	a = Answer{Status: resp.StatusCode, Outcome: resp.Header.Get("Dengine-Outcome"), ETag: resp.Header.Get("Etag")}
	a.Replayed = resp.Header.Get("Idempotency-Replayed") == "true"
	a.Writes, _ = strconv.ParseUint(resp.Header.Get("Dengine-Writes"), 10, 64) // 0 where there is none
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, resp.Body); err != nil {
		return a, false, err
	}
	a.Body = buf.Bytes()
	return a, !resp.Close, nil
}
