// Package edge is the strict HTTP/1.1 edge that nodes and the balancer share:
// which requests are refused before anyone looks at them, how every refusal
// looks, and the server settings that a public port needs. fasthttp's parser is
// lenient where two parsers may disagree; an edge that stands in front of
// another must not be (RFC 9112, sections 2.2, 5.2, 6.1 and 11.2).
package edge

import (
	"encoding/json"
	"errors"
	"net"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Problem is an answer that refuses a request.
type Problem struct {
	Status  int    // HTTP status
	Code    string // machine code, snake_case
	Message string // what a person can do
	Close   bool   // the connection must not be used again
	Allow   string // Allow header, for 405
}

// Write makes p the answer: {"error":code,"message":message}.
func (p *Problem) Write(ctx *fasthttp.RequestCtx) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(p.Status)
	ctx.SetContentType("application/json")
	if p.Allow != "" {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, p.Allow)
	}
	if p.Close {
		ctx.SetConnectionClose()
	}
	body, err := json.Marshal(struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{p.Code, p.Message})
	if err != nil { // two strings always marshal
		panic(err)
	}
	ctx.SetBody(body)
}

// Unread says that the head of a request could not be read. Its method is not known
// then, though the parser gives GET.
func Unread(h *fasthttp.RequestHeader) bool { return len(h.RawHeaders()) == 0 }

// FromReadError names what was wrong with a request that could not be read.
func FromReadError(err error, l Limits) *Problem {
	bad := func(msg string) *Problem {
		return &Problem{Status: fasthttp.StatusBadRequest, Code: "bad_request", Message: msg, Close: true}
	}
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.As(err, &small):
		return &Problem{
			Status: fasthttp.StatusRequestHeaderFieldsTooLarge, Code: "header_too_large", Close: true,
			Message: "request line and headers must fit in " + strconv.Itoa(l.HeaderBytes) + " bytes",
		}
	case errors.As(err, &netErr) && netErr.Timeout():
		return &Problem{
			Status: fasthttp.StatusRequestTimeout, Code: "request_timeout", Close: true,
			Message: "the request did not arrive in time: headers within " + l.HeaderTimeout.String() + ", then the body within " + l.BodyTimeout.String(),
		}
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return &Problem{
			Status: fasthttp.StatusRequestEntityTooLarge, Code: "body_too_large", Close: true,
			Message: "the request body must not exceed " + strconv.Itoa(l.BodyBytes) + " bytes",
		}
	case errors.Is(err, fasthttp.ErrDuplicateContentLength):
		return bad("more than one Content-Length header")
	case errors.Is(err, fasthttp.ErrUnsupportedTransferEncoding):
		return bad("Transfer-Encoding must be chunked, once, and never in HTTP/1.0")
	}
	return bad("the request is not valid HTTP/1.1: check the request line, the headers and the framing of the body")
}
