package node

import "bytes"

// plainGet is a GET of a key that leaves no question open.
type plainGet struct {
	key   []byte
	level Level
	raw   bool // as bytes, not as JSON
}

// parsePlainGet reads the request that in begins with, and says how long it is; 0 where
// it is not whole, or anything about it needs a closer look: a character that could mean
// something else, a header that is not one of those that are known to change nothing.
// What it reads, the server and serveGet read in the same way.
func parsePlainGet(in []byte) (g plainGet, size int) {
	rest, ok := bytes.CutPrefix(in, []byte("GET "+pathKVKey))
	if !ok {
		return g, 0
	}
	g.key, rest = cutPlainKey(rest)
	if query, named := bytes.CutPrefix(rest, []byte("?"+argConsistency+"=")); named {
		end := max(bytes.IndexByte(query, ' '), 0)
		if g.level, ok = levelNames[string(query[:end])]; !ok {
			return g, 0
		}
		rest = query[end:]
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(" HTTP/1.1\r\n")); !ok || checkKey(g.key) != nil {
		return g, 0
	}
	var h plainHead
	if rest, ok = h.read(rest); !ok || h.body {
		return g, 0
	}
	g.raw = h.raw
	return g, len(in) - len(rest)
}

// cutPlainKey cuts off the key that in begins with.
func cutPlainKey(in []byte) (key, rest []byte) {
	end := 0
	for end < len(in) && plainKeyByte(in[end]) {
		end++
	}
	return in[:end], in[end:]
}

// plainHead is what header lines say that leave no question open.
type plainHead struct {
	raw    bool   // bytes are asked for, not JSON
	body   bool   // they speak of a body
	sized  bool   // and say how long it is
	length uint64 // in bytes
}

// read reads the headers, up to the empty line, and returns what follows.
func (h *plainHead) read(in []byte) (rest []byte, ok bool) {
	var seen [lastPlain + 1]int
	for rest = in; ; {
		end := bytes.IndexByte(rest, '\n')
		if end <= 0 || rest[end-1] != '\r' {
			return nil, false
		}
		line := rest[:end-1]
		rest = rest[end+1:]
		if len(line) == 0 {
			return rest, seen[plainHost] == 1 && seen[plainAccept] <= 1 && seen[plainLength] <= 1 && seen[plainType] <= 1
		}
		name, value, whole := bytes.Cut(line, []byte(": "))
		kind := kindOf(name)
		seen[kind]++
		switch ok = whole && printable(value); kind {
		case plainHost:
			ok = ok && isHost(value)
		case plainAccept:
			h.raw = wantsBytes(value)
		case plainConnection:
			ok = ok && bytes.EqualFold(value, []byte("keep-alive"))
		case plainLength:
			h.body, h.sized = true, true
			ok = ok && usualNumber(value, &h.length) && (value[0] != '0' || len(value) == 1)
		case plainType:
			h.body = true
			ok = ok && !isJSON(value)
		case notPlain:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
}

// plainKind is a kind of header.
type plainKind int

const (
	notPlain  plainKind = iota
	plainNote           // changes nothing
	plainHost
	plainAccept
	plainConnection
	plainLength
	plainType
	lastPlain = plainType
)

// plainNames are the headers that a plain request may have, in lower case: those that
// clients and proxies usually send.
var plainNames = map[string]plainKind{
	"host": plainHost, "accept": plainAccept, "connection": plainConnection, "content-length": plainLength, "content-type": plainType,
	"user-agent": plainNote, "accept-encoding": plainNote, "accept-language": plainNote, "cookie": plainNote,
	"authorization": plainNote, "forwarded": plainNote, "via": plainNote, "x-real-ip": plainNote, "x-request-id": plainNote,
	"x-forwarded-for": plainNote, "x-forwarded-host": plainNote, "x-forwarded-proto": plainNote, "traceparent": plainNote, "tracestate": plainNote,
}

func kindOf(name []byte) plainKind {
	var buf [len("x-forwarded-proto")]byte
	if len(name) > len(buf) {
		return notPlain
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	return plainNames[string(buf[:len(name)])]
}

// plainKeyByte says whether a byte of a target is one of the key, and means itself.
func plainKeyByte(c byte) bool { return '!' <= c && c <= '~' && c != '?' && c != '#' && c != '%' }

func printable(value []byte) bool {
	for _, c := range value {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// isHost says whether a Host is a name or an IPv4 address, and perhaps a port.
func isHost(value []byte) bool {
	name, port, _ := bytes.Cut(value, []byte(":"))
	for _, c := range name {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '.' && c != '-' {
				return false
			}
		}
	}
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(name) > 0
}
