package lb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
)

// errBadAnswer says that a backend's answer is not HTTP/1.1, or could be read
// in two ways.
var errBadAnswer = errors.New("answer is not valid HTTP/1.1")

// answer is the head of a backend's answer. Its slices point into the reader
// that it was read from: they are gone with the next read.
type answer struct {
	status  int
	reason  []byte
	fields  []byte // header lines, the empty line included
	size    int    // of the whole head, in bytes
	length  int    // of the body: bytes, framingChunked or framingNone
	conn    connection
	keep    bool // the connection can serve again after the body
	mark    mark
	dengine bool // a dengine node gave it
	// sequence is the number under which a state machine decided it; 0: none.
	sequence uint64
	// index is the log index that a dengine node names; 0: none.
	index uint64
	// protocol is what the connection switches to, where the status is 101.
	protocol []byte
}

// read reads the next head that is not an interim one, without taking it
// out of the reader: that is discard's business. isHead says that the request
// was HEAD, whose answer has no body whatever its headers say.
func (a *answer) read(r *bufio.Reader, isHead, wantUpgrade bool) error {
	for {
		block, err := peekHead(r)
		if err != nil {
			return err
		}
		if err := a.parse(block, isHead); err != nil {
			return err
		}
		if a.status >= 200 || (a.status == fasthttp.StatusSwitchingProtocols && wantUpgrade) {
			return nil
		}
		if a.status == fasthttp.StatusSwitchingProtocols {
			return fmt.Errorf("%w: it switches protocols unasked", errBadAnswer)
		}
		if _, err := r.Discard(a.size); err != nil {
			return err
		}
	}
}

// peekHead waits until a whole head is in the reader.
func peekHead(r *bufio.Reader) ([]byte, error) {
	for n := 1; ; n = r.Buffered() + 1 {
		if _, err := r.Peek(n); err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				return nil, fmt.Errorf("%w: its head is longer than %d bytes", errBadAnswer, r.Size())
			}
			return nil, err
		}
		b, err := r.Peek(r.Buffered())
		if err != nil {
			return nil, err
		}
		if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
			return b[:i+4], nil
		}
	}
}

// parse reads one head. What could be read in two ways is an error: two
// lengths, a length beside Transfer-Encoding, a folded line, a bare LF.
func (a *answer) parse(b []byte, isHead bool) error {
	conn := a.conn
	conn.reset()
	*a = answer{size: len(b), length: framingNone, conn: conn}
	line, fields, _ := bytes.Cut(b, []byte("\r\n"))
	if len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." || line[8] != ' ' || (line[7] != '0' && line[7] != '1') ||
		(len(line) > 12 && line[12] != ' ') {
		return fmt.Errorf("%w: status line", errBadAnswer)
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return fmt.Errorf("%w: status", errBadAnswer)
		}
		a.status = a.status*10 + int(c-'0')
	}
	if a.status < 100 || a.status > 599 {
		return fmt.Errorf("%w: status", errBadAnswer)
	}
	if len(line) > 13 {
		a.reason = line[13:]
	}
	if hasControl(a.reason) { // a line end in it would be a header to some clients
		return fmt.Errorf("%w: status line", errBadAnswer)
	}
	a.fields = fields
	http11 := line[7] == '1'

	length, chunked, keepAlive := -1, false, false
	s := fieldScanner{rest: fields}
	for s.next() {
		switch s.name[0] | 0x20 {
		case 'c':
			switch {
			case s.is("connection"):
				a.conn.add(s.value)
			case s.is("content-length"):
				n, err := fasthttp.ParseUint(s.value)
				if err != nil || (length >= 0 && n != length) {
					return fmt.Errorf("%w: Content-Length", errBadAnswer)
				}
				length = n
			}
		case 't':
			if s.is("transfer-encoding") {
				if chunked || !http11 || !equalFold(s.value, "chunked") {
					return fmt.Errorf("%w: Transfer-Encoding", errBadAnswer)
				}
				chunked = true
			}
		case 'u':
			if s.is("upgrade") {
				a.protocol = s.value
			}
		case 'd':
			switch {
			case s.is("dengine-outcome"):
				a.mark = readMark(s.value)
			case s.is("dengine-node"):
				a.dengine = true
			case s.is("dengine-sequence"):
				if n, err := fasthttp.ParseUint(s.value); err == nil {
					a.sequence = uint64(n)
				}
			case s.is("dengine-index"):
				if n, err := fasthttp.ParseUint(s.value); err == nil {
					a.index = uint64(n)
				}
			}
		}
	}
	if s.bad || len(a.conn.named) > maxOptions {
		return fmt.Errorf("%w: header lines", errBadAnswer)
	}
	for _, one := range a.conn.named {
		keepAlive = keepAlive || equalFold(one, "keep-alive")
	}
	a.keep = !a.conn.close && (http11 || keepAlive)
	switch {
	case chunked && length >= 0:
		return fmt.Errorf("%w: Content-Length beside Transfer-Encoding", errBadAnswer)
	case isHead, a.status < 200, a.status == fasthttp.StatusNoContent, a.status == fasthttp.StatusNotModified:
		a.length = 0
	case chunked:
		a.length = framingChunked
	case length >= 0:
		a.length = length
	default:
		a.keep = false
	}
	return nil
}

func readMark(value []byte) mark {
	switch string(value) {
	case "not-applied":
		return markNotApplied
	case "unknown":
		return markUnknown
	}
	return markNone
}

// changes are what the client is not to be told as the backend said it.
type changes struct {
	isHead   bool // there is no body, whatever the head says
	sequence bool // leave Dengine-Sequence out: it answers the balancer's own
	unknown  bool // the outcome is unknown, whatever the backend says of this sending
}

// copyTo makes the head the one that the client gets, apart from what frames
// the body.
func (a *answer) copyTo(resp *fasthttp.Response, c changes) {
	h := &resp.Header
	h.DisableNormalizing()
	h.SetStatusCode(a.status)
	if len(a.reason) > 0 && string(a.reason) != fasthttp.StatusMessage(a.status) {
		h.SetStatusMessage(a.reason)
	}
	s := fieldScanner{rest: a.fields, again: true}
	for s.next() {
		switch {
		case s.is("content-length"):
			// Where there is no body it tells how long it would have been.
			if !c.isHead && a.status != fasthttp.StatusNotModified {
				continue
			}
		case hopByHop(s.name) || a.conn.names(s.name),
			c.sequence && s.is("dengine-sequence"), c.unknown && s.is("dengine-outcome"):
			continue
		case s.is("content-encoding") && len(h.ContentEncoding()) > 0:
			// fasthttp keeps one line of it, and codings add up.
			joined := append([]byte(nil), h.ContentEncoding()...)
			h.SetContentEncodingBytes(append(append(joined, ", "...), s.value...))
			continue
		}
		h.AddBytesKV(s.name, s.value)
	}
	if c.unknown {
		h.Set(headerOutcome, outcomeUnknown)
	}
}

// appendTo appends the whole answer as the client of a plain request gets it: copyTo for
// a worker, which needs no server to write it. last closes the connection behind it. date
// is a whole header line. numbered leaves out the number.
func (a *answer) appendTo(dst, body []byte, last, numbered bool, date []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(a.status), 10)
	dst = append(dst, ' ')
	if len(a.reason) > 0 {
		dst = append(dst, a.reason...)
	} else {
		dst = append(dst, fasthttp.StatusMessage(a.status)...)
	}
	dst = append(dst, "\r\n"...)
	told := false
	s := fieldScanner{rest: a.fields, again: true}
	for s.next() {
		switch s.name[0] | 0x20 {
		case 'c':
			switch { // where there is no body the length tells how long it would have been
			case s.is("content-length") && (a.status != fasthttp.StatusNotModified || told), s.is("connection"):
				continue
			}
			told = told || s.is("content-length")
		case 'd':
			if s.is("date") || numbered && s.is("dengine-sequence") { // they are the balancer's own
				continue
			}
		case 'k', 'p', 't', 'u':
			if hopByHop(s.name) {
				continue
			}
		}
		if len(a.conn.named) > 0 && a.conn.names(s.name) {
			continue
		}
		dst = append(dst, s.name...)
		dst = append(dst, ':', ' ')
		dst = append(dst, s.value...)
		dst = append(dst, '\r', '\n')
	}
	dst = append(dst, date...)
	if a.status != fasthttp.StatusNotModified && a.status != fasthttp.StatusNoContent {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(body)), 10)
		dst = append(dst, '\r', '\n')
	}
	if last {
		dst = append(dst, "Connection: close\r\n"...)
	}
	dst = append(dst, '\r', '\n')
	return append(dst, body...)
}
