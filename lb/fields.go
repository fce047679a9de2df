package lb

import (
	"bytes"
	"slices"
)

// fieldScanner walks a block of header lines, each "Name: value" and CR LF, up
// to the empty line that ends it. It is strict: a line that two readers could
// take for different things ends the walk with bad set (RFC 9112, section 5).
type fieldScanner struct {
	rest  []byte
	name  []byte
	value []byte // without the spaces around it
	bad   bool
	// again: the block has been walked to its end before, and nothing in it was bad.
	again bool
}

func (s *fieldScanner) next() bool {
	colon, end := s.line()
	if colon <= 0 || end <= colon || end+1 >= len(s.rest) || s.rest[end] != '\r' || s.rest[end+1] != '\n' {
		s.bad = len(s.rest) > 0 && !bytes.HasPrefix(s.rest, []byte("\r\n"))
		return false
	}
	s.name, s.value = s.rest[:colon], trimSpace(s.rest[colon+1:end])
	s.rest = s.rest[end+2:]
	return true
}

// line says where the name of the next line ends, at a colon, and where its value does.
// What must not be in either ends it.
func (s *fieldScanner) line() (colon, end int) {
	b := s.rest
	if s.again {
		return bytes.IndexByte(b, ':'), bytes.IndexByte(b, '\r')
	}
	for colon < len(b) && tokenChars[b[colon]] {
		colon++
	}
	if colon == len(b) || b[colon] != ':' {
		return 0, 0
	}
	for end = colon + 1; end < len(b) && !isControl(b[end]); {
		end++
	}
	return colon, end
}

// hasControl says whether a value holds a control character other than a tab.
func hasControl(b []byte) bool { return slices.ContainsFunc(b, isControl) }

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// is compares the name with a lower-case one.
func (s *fieldScanner) is(lower string) bool { return equalFold(s.name, lower) }

// equalFold compares header bytes with a lower-case name, ASCII only.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(lower) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// tokenChars are the characters of a token (RFC 9110, section 5.6.2).
var tokenChars = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return set
}()

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// maxOptions bounds the options of Connection: each is compared with each header.
const maxOptions = 32

// connection is what the Connection lines of one message say.
type connection struct {
	named   [][]byte // every option, close and keep-alive included
	close   bool
	upgrade bool
}

func (c *connection) reset() { c.named, c.close, c.upgrade = c.named[:0], false, false }

// add reads one Connection value.
func (c *connection) add(value []byte) {
	for len(value) > 0 {
		var one []byte
		if i := bytes.IndexByte(value, ','); i >= 0 {
			one, value = value[:i], value[i+1:]
		} else {
			one, value = value, nil
		}
		one = trimSpace(one)
		if len(one) == 0 {
			continue
		}
		c.named = append(c.named, one)
		c.close = c.close || equalFold(one, "close")
		c.upgrade = c.upgrade || equalFold(one, "upgrade")
	}
}

// names says whether a Connection line names this header.
func (c *connection) names(name []byte) bool {
	for _, one := range c.named {
		if bytes.EqualFold(one, name) {
			return true
		}
	}
	return false
}

// hopByHop says whether a header is for this connection only, whether or not
// Connection names it (RFC 9110, sections 7.6.1 and 11.7). The two Proxy-
// headers of authentication are dropped too: this balancer is no proxy that
// clients are told of, so they are not meant for the backend.
func hopByHop(name []byte) bool {
	switch name[0] | 0x20 {
	case 'c':
		return equalFold(name, "connection")
	case 'k':
		return equalFold(name, "keep-alive")
	case 'p':
		return equalFold(name, "proxy-connection") || equalFold(name, "proxy-authenticate") || equalFold(name, "proxy-authorization")
	case 't':
		return equalFold(name, "te") || equalFold(name, "trailer") || equalFold(name, "transfer-encoding")
	case 'u':
		return equalFold(name, "upgrade")
	}
	return false
}
