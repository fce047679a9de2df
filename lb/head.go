package lb

import (
	"bytes"
	"net"
	"strconv"

	"github.com/valyala/fasthttp"
)

// How a body is framed where that is not a number of bytes.
const (
	framingChunked = -1
	framingNone    = -2 // a request: no body; an answer: up to the end of the connection
)

// headWriter turns the head a client sent into the one a backend gets. It keeps
// its buffers between requests.
type headWriter struct {
	conn    connection
	forward []byte // the client's X-Forwarded-For, joined
	ip      []byte // the client's
	upgrade []byte // value of Upgrade where the request may switch protocols
	// own is the highest Dengine-Min-Index that the client sent, odd says that there
	// is one that is no number, and minIndex is what takes their place; 0: nothing does.
	own, minIndex uint64
	odd           bool
}

// reset makes w ready for a head that says nothing of what scan looks for.
func (w *headWriter) reset() {
	w.conn.reset()
	w.forward, w.upgrade = w.forward[:0], nil
	w.own, w.minIndex, w.odd = 0, 0, false
}

// scan reads the Connection lines and says why the head must not be passed on,
// or nothing.
func (w *headWriter) scan(h *fasthttp.RequestHeader) string {
	w.reset()
	s := fieldScanner{rest: h.RawHeaders()}
	for s.next() {
		switch s.name[0] | 0x20 {
		case 'c':
			if s.is("connection") {
				w.conn.add(s.value)
			}
		case 'd':
			if s.is(minIndexName) && len(s.value) > 0 {
				n, err := strconv.ParseUint(string(s.value), 10, 64) // as nodes read it
				w.own, w.odd = max(w.own, n), w.odd || err != nil
			}
		case 'u':
			if s.is("upgrade") {
				w.upgrade = s.value
			}
		case 'x':
			if s.is("x-forwarded-for") && len(s.value) > 0 {
				if len(w.forward) > 0 {
					w.forward = append(w.forward, ", "...)
				}
				w.forward = append(w.forward, s.value...)
			}
		}
	}
	// An Upgrade to nothing asks for none, and HTTP/2 over plain text is not one
	// that a balancer of HTTP/1.1 may let through: what follows would bypass its rules.
	if !w.conn.upgrade || len(w.upgrade) == 0 || !h.IsGet() || !h.IsHTTP11() || bytes.Contains(bytes.ToLower(w.upgrade), []byte("h2c")) {
		w.upgrade = nil
	}
	switch {
	case s.bad:
		return "a header line is not a name, a colon and a value"
	case len(w.conn.named) > maxOptions:
		return "Connection may name at most " + strconv.Itoa(maxOptions) + " options"
	}
	return ""
}

// minIndexName is the lower-case name of the header that makes a node wait until it
// has applied a log index.
const minIndexName = "dengine-min-index"

// require makes a read wait for a log index, or for the client's own where that is
// higher. It returns which it is, and whether index was the higher one. What is
// no number is passed on as it came, for the node to refuse.
func (w *headWriter) require(index uint64) (minIndex uint64, raised bool) {
	if index == 0 || w.odd {
		return 0, false
	}
	w.minIndex = max(index, w.own)
	return w.minIndex, index > w.own
}

// requestHead is what a client sent, and where it came from.
type requestHead struct {
	method []byte
	target []byte // in origin form
	host   []byte
	fields []byte // header lines, the empty line included
	http11 bool
	ip     []byte   // the client's
	local  net.Addr // where the client connected to; it may be missing where there is a host
}

// headOf is the head of a request that the server has read.
func (w *headWriter) headOf(ctx *fasthttp.RequestCtx, target []byte) requestHead {
	h := &ctx.Request.Header
	w.ip = appendClientIP(w.ip[:0], ctx.RemoteAddr())
	return requestHead{
		method: h.Method(), target: target, host: h.Host(), fields: h.RawHeaders(), http11: h.IsHTTP11(),
		ip: w.ip, local: ctx.LocalAddr(),
	}
}

// write appends the head for the backend to dst, after scan. length is the body's.
// Everything that frames the message or speaks of this hop is written anew, the rest as
// it came.
func (w *headWriter) write(dst []byte, r *requestHead, length int, trust bool) []byte {
	dst = append(dst, r.method...)
	dst = append(dst, ' ')
	dst = append(dst, r.target...)
	dst = append(dst, " HTTP/1.1\r\n"...)

	host := r.host
	if len(host) > 0 {
		dst = appendField(dst, "Host", host)
	} else { // only HTTP/1.0 comes without; HTTP/1.1 must not go without
		dst = append(dst, "Host: "...)
		dst = append(dst, r.local.String()...)
		dst = append(dst, '\r', '\n')
	}
	haveProto, haveHost := false, false
	s := fieldScanner{rest: r.fields, again: true}
	for s.next() {
		if hopByHop(s.name) || rewritten(s.name) || w.conn.names(s.name) || w.minIndex > 0 && s.is(minIndexName) {
			continue
		}
		if claimsForwarding(s.name) {
			if !trust || s.is("x-forwarded-for") {
				continue
			}
			haveProto = haveProto || s.is("x-forwarded-proto")
			haveHost = haveHost || s.is("x-forwarded-host")
		}
		dst = append(dst, s.name...)
		dst = append(dst, ':', ' ')
		dst = append(dst, s.value...)
		dst = append(dst, '\r', '\n')
	}

	dst = append(dst, "X-Forwarded-For: "...)
	if trust && len(w.forward) > 0 {
		dst = append(dst, w.forward...)
		dst = append(dst, ", "...)
	}
	dst = append(dst, r.ip...)
	dst = append(dst, '\r', '\n')
	if !haveProto {
		dst = append(dst, "X-Forwarded-Proto: http\r\n"...)
	}
	if !haveHost && len(host) > 0 {
		dst = appendField(dst, "X-Forwarded-Host", host)
	}
	if r.http11 {
		dst = append(dst, "Via: 1.1 dengine\r\n"...)
	} else {
		dst = append(dst, "Via: 1.0 dengine\r\n"...)
	}
	if w.minIndex > 0 {
		dst = append(dst, "Dengine-Min-Index: "...)
		dst = strconv.AppendUint(dst, w.minIndex, 10)
		dst = append(dst, '\r', '\n')
	}
	if w.upgrade != nil {
		dst = append(dst, "Connection: Upgrade\r\n"...)
		dst = appendField(dst, "Upgrade", w.upgrade)
	}
	switch {
	case length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(length), 10)
		dst = append(dst, '\r', '\n')
	case length == framingChunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, '\r', '\n')
}

// rewritten names the headers that write sets itself, and those that only the
// balancer may send: identities of writes.
func rewritten(name []byte) bool {
	switch name[0] | 0x20 {
	case 'h':
		return equalFold(name, "host") || equalFold(name, "http2-settings")
	case 'c':
		return equalFold(name, "content-length")
	case 'e':
		return equalFold(name, "expect") // it has been met already
	case 'd':
		return equalFold(name, "dengine-session") || equalFold(name, "dengine-sequence") || equalFold(name, "dengine-acked")
	}
	return false
}

func claimsForwarding(name []byte) bool {
	switch name[0] | 0x20 {
	case 'x':
		return equalFold(name, "x-forwarded-for") || equalFold(name, "x-forwarded-proto") || equalFold(name, "x-forwarded-host") || equalFold(name, "x-real-ip")
	case 'f':
		return equalFold(name, "forwarded")
	}
	return false
}

// originForm cuts scheme and authority off an absolute-form target; the edge
// has made sure that the authority is the Host (RFC 9112, section 3.2.2).
func originForm(target []byte) []byte {
	if target[0] == '/' || string(target) == "*" {
		return target
	}
	_, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok {
		return target
	}
	i := bytes.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return []byte("/")
	case rest[i] == '?':
		return append([]byte("/"), rest[i:]...)
	}
	return rest[i:]
}

func appendField(dst []byte, name string, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

func appendClientIP(dst []byte, addr net.Addr) []byte {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().AppendTo(dst)
	}
	return append(dst, "unknown"...)
}
