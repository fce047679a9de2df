package fuzzkit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
)

// ErrMalformed says that something is no HTTP, as opposed to ending too early.
var ErrMalformed = errors.New("not valid HTTP")

// maxHead bounds what is read of a head, in bytes.
const maxHead = 1 << 20

// Request is one HTTP request as a reader has understood it.
type Request struct {
	Method string
	Target string // as it came
	Host   string
	Header http.Header // without Host
	Body   []byte
}

// ReadRequest reads one request with the parser of the standard library, and
// leaves r behind it. The target is only kept, since it means what a server makes
// of it. An error wraps ErrMalformed, or is the connection's: io.EOF where there
// was no request, io.ErrUnexpectedEOF where there was a part of one.
func ReadRequest(r *bufio.Reader) (Request, error) {
	head, err := readHead(r)
	if err != nil {
		return Request{}, err
	}
	method, rest, _ := strings.Cut(head, " ")
	line, fields, _ := strings.Cut(rest, "\n")
	i := strings.LastIndexByte(line, ' ')
	if i <= 0 || strings.ContainsFunc(line[:i], func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return Request{}, fmt.Errorf("%w: request line of %q", ErrMalformed, head)
	}
	q := Request{Method: method, Target: line[:i]}
	parsed, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " / " + line[i+1:] + "\n" + fields)))
	if err != nil {
		return q, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	q.Host, q.Header = parsed.Host, parsed.Header
	q.Body, err = readBody(r, parsed)
	return q, err
}

// readHead reads up to an empty line.
func readHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		switch {
		case err == io.EOF && head.Len() > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		case line == "\r\n" || line == "\n":
			return head.String(), nil
		case head.Len() > maxHead:
			return "", fmt.Errorf("%w: a head of more than %d bytes", ErrMalformed, maxHead)
		}
	}
}

// readBody reads the body that a head announces.
func readBody(r *bufio.Reader, q *http.Request) ([]byte, error) {
	if len(q.TransferEncoding) == 0 {
		body, err := io.ReadAll(io.LimitReader(r, q.ContentLength))
		if err == nil && int64(len(body)) < q.ContentLength {
			err = io.ErrUnexpectedEOF
		}
		return body, err
	}
	body, err := io.ReadAll(httputil.NewChunkedReader(r))
	for line := "."; err == nil && line != "\r\n" && line != "\n"; { // trailers, and the end of them
		line, err = r.ReadString('\n')
	}
	if err == io.EOF { // the last chunk was there, and with it the whole body (RFC 9112, 8)
		err = nil
	}
	var network net.Error
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &network) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return body, err
}

// Understood checks that the requests which a server has let through are those
// that ReadRequest finds in what it was sent, one for one: else whoever stands
// before that server could take them for others. Behind something that
// ReadRequest does not take for a request nothing is compared.
func Understood(t testing.TB, in []byte, got []Request) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(in))
	for i, g := range got {
		want, err := ReadRequest(r)
		switch {
		case errors.Is(err, ErrMalformed):
			return
		case err != nil:
			t.Errorf("%q: request %d was let through: %+v; there is none: %v", in, i, g, err)
			return
		case g.Method != want.Method || g.Target != want.Target || !strings.EqualFold(g.Host, want.Host) || !bytes.Equal(g.Body, want.Body):
			t.Errorf("%q: request %d was taken for %+v, it is %+v", in, i, g, want)
			return
		}
	}
}
