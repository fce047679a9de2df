package main

import (
	"bytes"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// plainMost is how large a request may be, with its body.
const plainMost = 16 << 10

var (
	plainNotFound = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	plainRefusal  = []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
)

// plainConn is a client's connection.
type plainConn struct {
	fd   int
	in   [plainMost]byte
	have int    // bytes of in
	out  []byte // not sent yet
	last bool   // no more requests are served
}

// receive takes what is there and answers what is whole of it, into out. It says
// whether the connection still stands.
func (c *plainConn) receive(answers map[string][]byte) bool {
	n, err := unix.Read(c.fd, c.in[c.have:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	c.have += n
	done := 0
	for !c.last {
		r, ok := readPlain(c.in[done:c.have])
		r.bad = r.bad || !ok && done == 0 && c.have == len(c.in)
		if !ok && !r.bad {
			break
		}
		answer, found := answers[string(r.path)]
		switch {
		case r.bad:
			answer, r.last, r.size = plainRefusal, true, c.have-done
		case !found:
			answer = plainNotFound
		}
		done, c.last = done+r.size, r.last
		if len(c.out) == 0 {
			c.out = answer
			continue
		}
		c.out = append(slices.Clip(c.out), answer...) // the answers are everybody's
	}
	c.have = copy(c.in[:], c.in[done:c.have])
	return true
}

// send sends as much of out as there is room for, and says whether the connection
// still stands.
func (c *plainConn) send() bool {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		if err == unix.EAGAIN {
			return true
		}
		if err != nil && err != unix.EINTR {
			return false
		}
		c.out = c.out[max(n, 0):]
	}
	c.out = nil
	return true
}

// plainRequest is a request.
type plainRequest struct {
	path []byte
	size int  // bytes, with its body
	last bool // the connection ends with it
	bad  bool // it is none that is understood here
}

// readPlain reads the request at the beginning of in; not ok: there is none yet. It
// knows the framing of RFC 9112 but for chunks, which no proxy here sends.
func readPlain(in []byte) (r plainRequest, ok bool) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return r, false
	}
	line, fields, _ := bytes.Cut(in[:end], []byte("\r\n"))
	_, line, _ = bytes.Cut(line, []byte(" "))
	path, version, _ := bytes.Cut(line, []byte(" "))
	r.path, r.size = path, end+len("\r\n\r\n")
	old := string(version) == "HTTP/1.0"
	r.last, r.bad = old, !old && string(version) != "HTTP/1.1"
	for len(fields) > 0 && !r.bad {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(field, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case isField(name, "content-length"):
			n, err := strconv.ParseUint(string(value), 10, 31)
			r.bad = err != nil
			r.size += int(n)
		case isField(name, "transfer-encoding"):
			r.bad = true
		case isField(name, "connection"):
			r.last = bytes.EqualFold(value, []byte("close")) || old && !bytes.EqualFold(value, []byte("keep-alive"))
		}
	}
	return r, !r.bad && len(in) >= r.size
}

// isField compares a field's name, most of which differ in their length.
func isField(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}
