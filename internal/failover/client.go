package failover

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	answerTimeout = 30 * time.Second // for one request; longer than anything holds a write
	idleTime      = 3 * time.Second  // of a kept connection: shorter than any front's own
)

// client speaks HTTP/1.1 to one address over connections that it keeps. It sends
// everything once and no more: net/http repeats some requests by itself, and what
// failed would not be seen.
type client struct {
	addr string

	mu   sync.Mutex
	idle []*conn // the last used is the last
}

type conn struct {
	net.Conn
	raw  syscall.RawConn
	in   *bufio.Reader
	used time.Time
}

// answer is what the load has to know of an HTTP answer.
type answer struct {
	status  int
	outcome string // Dengine-Outcome
	etag    string
	writes  uint64 // Dengine-Writes, of the key
	body    []byte
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// code is the machine code of an error answer.
func (a answer) code() string {
	var body struct{ Error string }
	if json.Unmarshal(a.body, &body) != nil || body.Error == "" {
		return "no code"
	}
	return body.Error
}

// errNotSent is an attempt of which no byte left.
var errNotSent = errors.New("no connection")

// do sends one request. Headers are name, value, name, ….
func (c *client) do(method, path string, body []byte, headers ...string) (answer, error) {
	k, err := c.get()
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNotSent, err)
	}
	a, keep, err := k.exchange(c.addr, method, path, body, headers)
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
func (c *client) get() (*conn, error) {
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
	nc, err := net.DialTimeout("tcp", c.addr, answerTimeout)
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

func (c *client) pop() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == 0 {
		return nil
	}
	k := c.idle[len(c.idle)-1]
	c.idle = c.idle[:len(c.idle)-1]
	return k
}

func (c *client) close() {
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

func (k *conn) exchange(host, method, path string, body []byte, headers []string) (a answer, keep bool, err error) {
	if err := k.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return a, false, err
	}
	b := make([]byte, 0, 256+len(body))
	b = append(append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: "...), host...)
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
	a = answer{status: resp.StatusCode, outcome: resp.Header.Get("Dengine-Outcome"), etag: resp.Header.Get("Etag")}
	a.writes, _ = strconv.ParseUint(resp.Header.Get("Dengine-Writes"), 10, 64) // 0 where there is none
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, resp.Body); err != nil {
		return a, false, err
	}
	a.body = buf.Bytes()
	return a, !resp.Close, nil
}

// reason is why a request failed, short and without addresses, for counting.
func reason(a answer, err error) string {
	switch {
	case err == nil:
		return fmt.Sprintf("%d %s", a.status, a.code())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no answer in %v", answerTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed without an answer"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}
