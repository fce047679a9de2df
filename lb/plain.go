package lb

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// plainRequest is a request that leaves no question open: short, whole, framed by a
// Content-Length or by nothing, and with no header line that speaks of this hop but
// "Connection: keep-alive". A worker takes it. Any other is the server's, which knows them all.
type plainRequest struct {
	requestHead
	minIndex bool // it has a Dengine-Min-Index
	forwards bool // it has header lines of another proxy
	// conditional: whether there is a body depends on what the backend compares.
	conditional bool
	body        []byte // nil: there is none, and none is spoken of
	size        int    // of all of it, in bytes
}

// How parse ends.
type plainness uint8

const (
	plainWhole   plainness = iota
	plainPartial           // so far; more must come
	plainNot
)

// maxPlainHead is the longest head of a plain request. Its body has joinBody at most.
const maxPlainHead = 8 << 10

// parse reads the request that in begins with. What it takes, the server and the edge's
// checks must take as well, and understand in the same way (FuzzPlainRequest).
func (p *plainRequest) parse(in []byte) plainness {
	*p = plainRequest{requestHead: requestHead{ip: p.ip, http11: true}}
	i := bytes.Index(in[:min(len(in), maxPlainHead)], []byte("\r\n\r\n"))
	switch {
	case i < 0 && len(in) >= maxPlainHead:
		return plainNot
	case i < 0:
		return plainPartial
	}
	line := bytes.IndexByte(in, '\r') // there is one
	if !p.parseLine(in[:line]) || in[line+1] != '\n' {
		return plainNot
	}
	p.fields = in[line+2 : i+4]
	length := p.parseFields()
	switch {
	case length == plainBadLength, length > joinBody:
		return plainNot
	case (length == framingNone) != (string(p.method) == fasthttp.MethodGet):
		return plainNot // readers differ about those
	case len(in) < i+4+max(length, 0):
		return plainPartial
	}
	if p.size = i + 4; length >= 0 {
		p.body = in[p.size : p.size+length]
		p.size += length
	}
	return plainWhole
}

// length is the body's.
func (p *plainRequest) length() int {
	if p.body == nil {
		return framingNone
	}
	return len(p.body)
}

// parseLine reads the request line.
func (p *plainRequest) parseLine(line []byte) bool {
	rest, ok := bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	if p.method, p.target, _ = bytes.Cut(rest, []byte(" ")); !ok || len(p.target) == 0 || p.target[0] != '/' || bytes.HasPrefix(p.target, ownPath) {
		return false
	}
	for _, c := range p.target {
		if c <= ' ' || c > '~' || c == '#' {
			return false
		}
	}
	switch string(p.method) {
	case fasthttp.MethodGet, fasthttp.MethodPost, fasthttp.MethodPut, fasthttp.MethodDelete, fasthttp.MethodPatch:
		return true
	}
	return false
}

// plainBadLength says that a head is not a plain one.
const plainBadLength = -3

// parseFields reads the header lines, and says how long the body is: bytes, framingNone
// or plainBadLength.
func (p *plainRequest) parseFields() (length int) {
	length = framingNone
	s := fieldScanner{rest: p.fields}
	for s.next() {
		switch s.name[0] | 0x20 {
		case 'c':
			switch {
			case s.is("content-length"):
				n, err := fasthttp.ParseUint(s.value)
				if err != nil || length != framingNone || len(s.value) > 1 && s.value[0] == '0' {
					return plainBadLength
				}
				length = n
			case s.is("connection") && !equalFold(s.value, "keep-alive"):
				return plainBadLength
			}
		case 'h':
			switch {
			case s.is("host"):
				if len(p.host) > 0 || !plainHost(s.value) {
					return plainBadLength
				}
				p.host = s.value
			case s.is("http2-settings"):
				return plainBadLength
			}
		case 'd':
			p.minIndex = p.minIndex || s.is(minIndexName)
			if rewritten(s.name) {
				return plainBadLength
			}
		case 'f', 'x':
			p.forwards = p.forwards || claimsForwarding(s.name)
		case 'e':
			if s.is("expect") {
				return plainBadLength
			}
		case 'i':
			p.conditional = p.conditional || s.is("if-none-match") || s.is("if-modified-since")
		case 'k', 'p', 't', 'u':
			if hopByHop(s.name) {
				return plainBadLength
			}
		}
	}
	if s.bad || len(p.host) == 0 || len(s.rest) != len("\r\n") {
		return plainBadLength
	}
	return length
}

// plainHost says whether a Host is a name or an address, and perhaps a port.
func plainHost(value []byte) bool {
	for _, c := range value {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return len(value) > 0
}
