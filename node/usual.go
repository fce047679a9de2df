package node

import (
	"bytes"
	"math"
)

// usualHead is the longest head that readUsual looks at.
const usualHead = 4 << 10

// seenOnce are the headers of a usual write that may not come twice.
type seenOnce struct {
	host, length, session, sequence, acked bool
}

// readUsual reads a numbered write as balancers send most of them: a PUT of raw bytes,
// or a DELETE, whole in request. It says whether the request is one. Then it is what
// the server would find in it. All else is for the server: what could be read in
// two ways, what has a condition or an idempotency key, what is out of the ordinary.
func readUsual(request []byte, w *Write) bool {
	*w = Write{}
	i := bytes.Index(request, []byte("\r\n\r\n"))
	if i < 0 || i > usualHead {
		return false
	}
	head, body := request[:i+2], request[i+4:]
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if !w.usualLine(line) {
		return false
	}
	var seen seenOnce
	length := uint64(0)
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, '\n') // head ends with one
		if end == 0 || rest[end-1] != '\r' {
			return false
		}
		name, value, ok := usualField(rest[:end-1])
		if !ok || !w.usualHeader(&seen, &length, name, value) {
			return false
		}
		rest = rest[end+1:]
	}
	if !seen.host || !seen.session || !seen.sequence || !(seen.length || w.Delete) || length != uint64(len(body)) {
		return false
	}
	if w.Delete {
		return length == 0
	}
	w.Value = body
	return true
}

// usualLine reads the request line.
func (w *Write) usualLine(line []byte) bool {
	key, found := bytes.CutPrefix(line, []byte("PUT "+pathKVKey))
	if !found {
		key, w.Delete = bytes.CutPrefix(line, []byte("DELETE "+pathKVKey))
		found = w.Delete
	}
	key, ours := bytes.CutSuffix(key, []byte(" HTTP/1.1"))
	if !found || !ours || len(key) == 0 {
		return false
	}
	for _, c := range key {
		if c <= ' ' || c >= 0x7f || c == '%' || c == '#' || c == '?' {
			return false
		}
	}
	w.Key = key
	return true
}

// usualField takes a header line apart.
func usualField(line []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || i+1 == len(line) || line[i+1] != ' ' {
		return nil, nil, false
	}
	name, value = line[:i], line[i+2:]
	for _, c := range name {
		if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return nil, nil, false
		}
	}
	for _, c := range value {
		if c < ' ' || c >= 0x7f {
			return nil, nil, false
		}
	}
	edges := len(value) > 0 && (value[0] == ' ' || value[len(value)-1] == ' ')
	return name, value, !edges
}

// usualHeader reads one header.
func (w *Write) usualHeader(seen *seenOnce, length *uint64, name, value []byte) bool {
	var err error
	switch name[0] | 0x20 {
	case 'h':
		if named(name, "host") {
			return isHost(value) && once(&seen.host)
		}
	case 'c':
		if named(name, "content-length") {
			return once(&seen.length) && usualNumber(value, length)
		}
		return !named(name, "connection") && !(named(name, "content-type") && isJSON(value))
	case 'd':
		switch {
		case named(name, "dengine-session"):
			w.Identity.Session, err = parseSession(value)
			return err == nil && once(&seen.session)
		case named(name, "dengine-sequence"):
			return once(&seen.sequence) && usualNumber(value, &w.Identity.Sequence) && w.Identity.Sequence > 0
		case named(name, "dengine-acked"):
			return once(&seen.acked) && usualNumber(value, &w.Identity.Acked)
		}
	case 'e':
		return !named(name, "expect")
	case 'i':
		return !named(name, "if-match") && !named(name, "if-none-match") && !named(name, "idempotency-key")
	case 't':
		return !named(name, "transfer-encoding") && !named(name, "trailer") && !named(name, "te")
	case 'u':
		return !named(name, "upgrade")
	}
	return true
}

// named compares a header's name, of letters, digits and dashes, with a lower-case one.
func named(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// once notes that something has come, and says whether it is the first time.
func once(seen *bool) bool {
	first := !*seen
	*seen = true
	return first
}

// usualNumber reads a whole number.
func usualNumber(value []byte, n *uint64) bool {
	*n = 0
	for _, c := range value {
		if c < '0' || c > '9' || *n > math.MaxUint64/10-1 {
			return false
		}
		*n = *n*10 + uint64(c-'0')
	}
	return len(value) > 0
}
