package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
)

// downSeen bounds the wait for the socket to vanish after "down" was answered.
const downSeen = 5 * time.Second

// ErrNotRunning says that nobody listens on the control socket.
var ErrNotRunning = errors.New("no dengine-up is running")

// Client talks to a running Run through its control socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient does not connect yet.
func NewClient(socket string) *Client {
	var d net.Dialer
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

// Status asks how everything is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/status", &s)
	return s, err
}

// Act does something to a process: n1, n2, …, lb, or whoever is leader or
// follower. It returns a line about what was done, when the effect is there.
func (c *Client) Act(ctx context.Context, action Action, name string) (string, error) {
	var d Done
	err := c.call(ctx, http.MethodPost, "/processes/"+url.PathEscape(name)+"/"+url.PathEscape(string(action)), &d)
	return d.Message, err
}

// Down ends everything and returns when it has ended.
func (c *Client) Down(ctx context.Context) (string, error) {
	var d Done
	if err := c.call(ctx, http.MethodPost, "/down", &d); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, downSeen)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Lstat(c.socket + ".lock"); errors.Is(err, os.ErrNotExist) {
			return d.Message, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("every process has ended, but %s is still there", c.socket)
		}
	}
}

// Logs writes the last n lines of a process ("" for all) to w, and with follow
// each further one until ctx ends, which is not an error.
func (c *Client) Logs(ctx context.Context, name string, n int, follow bool, w io.Writer) error {
	q := url.Values{logsName: {name}, logsLines: {strconv.Itoa(n)}, logsFollow: {strconv.FormatBool(follow)}}
	resp, err := c.send(ctx, http.MethodGet, "/logs?"+q.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read logs: %w", err)
	}
	return nil
}

// call sends a request and reads its JSON answer.
func (c *Client) call(ctx context.Context, method, path string, into any) error {
	resp, err := c.send(ctx, method, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read the answer of the running dengine-up: %w", err)
	}
	return nil
}

// send returns a 200 answer, or what the other side said is wrong.
func (c *Client) send(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://dengine-up"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w (socket %s)", ErrNotRunning, c.socket)
	case err != nil:
		return nil, fmt.Errorf("ask the running dengine-up (socket %s): %w", c.socket, err)
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	}
	defer resp.Body.Close()
	var p problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Message == "" {
		return nil, fmt.Errorf("the running dengine-up answered %s", resp.Status)
	}
	return nil, errors.New(p.Message)
}
