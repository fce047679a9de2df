package edge

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// Check returns why a request that the parser accepted must still be refused,
// or nil. It reads the raw header block, so it must run before anything changes
// the header. It allocates nothing when it finds nothing.
func Check(h *fasthttp.RequestHeader) *Problem {
	if p := checkLine(h); p != nil {
		return p
	}
	return checkFields(h)
}

func checkLine(h *fasthttp.RequestHeader) *Problem {
	switch string(h.Protocol()) {
	case "HTTP/1.1", "HTTP/1.0":
	default:
		return &Problem{
			Status: fasthttp.StatusHTTPVersionNotSupported, Code: "version_not_supported", Close: true,
			Message: "only HTTP/1.1 and HTTP/1.0 are spoken here",
		}
	}
	method := h.Method()
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			if c == '-' || c == '_' {
				continue
			}
			return &Problem{
				Status: fasthttp.StatusNotImplemented, Code: "method_not_implemented", Close: true,
				Message: "methods are upper-case letters, such as GET",
			}
		}
	}
	switch string(method) {
	case fasthttp.MethodConnect, fasthttp.MethodTrace:
		return &Problem{
			Status: fasthttp.StatusMethodNotAllowed, Code: "method_not_allowed", Close: true,
			Allow:   "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
			Message: "CONNECT and TRACE are refused here",
		}
	}
	return checkTarget(h)
}

// checkTarget refuses a fragment, which some readers would take for a part of
// the path and others cut off, and an absolute-form target whose authority is not the Host:
// two readers of such a request could take it for different sites.
func checkTarget(h *fasthttp.RequestHeader) *Problem {
	target := h.RequestURI()
	if bytes.IndexByte(target, '#') >= 0 {
		return badRequest("a target has no fragment: write # as %23")
	}
	if len(target) == 0 || target[0] == '/' || string(target) == "*" {
		return nil
	}
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if ok && (bytes.EqualFold(scheme, []byte("http")) || bytes.EqualFold(scheme, []byte("https"))) {
		if i := bytes.IndexAny(rest, "/?"); i >= 0 {
			rest = rest[:i]
		}
		if bytes.EqualFold(rest, h.Host()) {
			return nil
		}
	}
	return &Problem{
		Status: fasthttp.StatusBadRequest, Code: "bad_request", Close: true,
		Message: "the target is neither a path nor an http URL whose host is the Host header's",
	}
}

// checkFields walks the header block as it came from the wire.
func checkFields(h *fasthttp.RequestHeader) *Problem {
	var length, encoding bool
	for raw := h.RawHeaders(); len(raw) > 0; {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			break
		}
		line := raw[:i]
		raw = raw[i+1:]
		if i == 0 || line[i-1] != '\r' {
			return badRequest("lines must end in CR LF")
		}
		line = line[:i-1]
		if len(line) == 0 {
			break
		}
		if bytes.IndexByte(line, '\r') >= 0 {
			return badRequest("a header holds a bare CR")
		}
		switch line[0] {
		case ' ', '\t':
			return badRequest("a header is folded over two lines (obs-fold), which RFC 9112 forbids")
		case 'C', 'c':
			length = length || hasName(line, "content-length")
		case 'T', 't':
			if hasName(line, "transfer-encoding") {
				encoding = true
				if !bytes.EqualFold(bytes.TrimSpace(line[len("transfer-encoding:"):]), []byte("chunked")) {
					return badRequest("Transfer-Encoding must be chunked and nothing else")
				}
			}
		case 'E', 'e':
			if hasName(line, "expect") && !bytes.EqualFold(bytes.TrimSpace(line[len("expect:"):]), []byte("100-continue")) {
				return &Problem{
					Status: fasthttp.StatusExpectationFailed, Code: "expectation_failed", Close: true,
					Message: "the only expectation that can be met is 100-continue",
				}
			}
		}
	}
	if length && encoding {
		return badRequest("Content-Length together with Transfer-Encoding")
	}
	return nil
}

// NoTrailers refuses a request that has, or announces, fields behind its body:
// they would come in past everything that looked at the headers (RFC 9110, 6.5.1).
// The body must have been read.
func NoTrailers(h *fasthttp.RequestHeader) *Problem {
	if len(h.PeekTrailerKeys()) == 0 {
		return nil
	}
	return badRequest("trailer fields are not taken here")
}

// hasName says whether a header line's name is the given lower-case one.
func hasName(line []byte, name string) bool {
	if len(line) <= len(name) || line[len(name)] != ':' {
		return false
	}
	for i := range len(name) {
		if line[i]|0x20 != name[i] {
			return false
		}
	}
	return true
}

func badRequest(msg string) *Problem {
	return &Problem{Status: fasthttp.StatusBadRequest, Code: "bad_request", Message: msg, Close: true}
}
