package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// client sends one HTTP request after the other to one node over one connection.
// It does little else: what it costs is taken from the servers beside it.
type client struct {
	conn  net.Conn
	in    *bufio.Reader
	host  string
	out   []byte // of the request
	body  []byte // of the answer
	index []byte // its Dengine-Index
	sent  int
}

// dial returns a client of a node.
func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, harness.Patience)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReader(conn), host: "\r\nHost: " + addr}, nil
}

// dialed is dial where that must succeed; the client is closed at the end.
func dialed(t harness.T, p *harness.Process) *client {
	t.Helper()
	c, err := dial(p.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func (c *client) close() { _ = c.conn.Close() }

// get reads a key, with a query such as "?consistency=lease" and with a minIndex as
// Dengine-Min-Index; both may be empty. What it returns is good until the next request.
func (c *client) get(key, query, minIndex string) ([]byte, error) {
	c.begin(http.MethodGet, "/kv/", key, query)
	if minIndex != "" {
		c.out = append(append(c.out, "\r\nDengine-Min-Index: "...), minIndex...)
	}
	c.out = append(c.out, "\r\n\r\n"...)
	err := c.exchange()
	return c.body, err
}

// put writes a key and returns the index of the write.
func (c *client) put(key, value string) (index string, err error) {
	c.begin(http.MethodPut, "/kv/", key)
	c.out = strconv.AppendInt(append(c.out, "\r\nContent-Length: "...), int64(len(value)), 10)
	c.out = append(append(c.out, "\r\n\r\n"...), value...)
	err = c.exchange()
	return string(c.index), err
}

// begin writes the head of a request for a path that is given in parts.
func (c *client) begin(method string, path ...string) {
	c.out = append(append(c.out[:0], method...), ' ')
	for _, part := range path {
		c.out = append(c.out, part...)
	}
	c.out = append(append(c.out, " HTTP/1.1"...), c.host...)
}

// exchange sends the request and reads the answer. A deadline costs time to set, so
// that one serves some requests together.
func (c *client) exchange() error {
	const together = 256
	if c.sent%together == 0 {
		if err := c.conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
			return err
		}
	}
	c.sent++
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	return c.answer()
}

func (c *client) answer() error {
	first, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(first, []byte("HTTP/1.1 200 "))
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= len("\r\n") {
			break
		}
		if value, ok := field(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		} else if value, ok := field(line, "Dengine-Index: "); ok {
			c.index = append(c.index[:0], value...)
		}
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("refused: %s", c.body)
	}
	return nil
}

// field returns the value of a header line where that begins so; some proxies write
// names in lower case.
func field(line []byte, start string) (value []byte, ok bool) {
	if len(line) <= len(start) || line[len(start)-2] != ':' || !bytes.EqualFold(line[:len(start)], []byte(start)) {
		return nil, false
	}
	return bytes.TrimSpace(line[len(start):]), true
}
