package node

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"github.com/dengine/dengine/healthcheck"
	"github.com/valyala/fasthttp"
)

// quickBytes is the longest value that is answered without waiting.
const quickBytes = 64 << 10

// answersMost is how many bytes of answers go out together, and the last one's.
const answersMost = 256 << 10

// answerAtOnce is the API's edge.AtOnce. It answers what most reads are, of a key that is
// there, asked for in a way that leaves no question open: eventual ones at once, and
// linearizable ones where it may wait for them. All of these that came together, as a
// balancer sends them, wait for one round: it began when they all were there. Plain writes
// wait as well.
func (n *Node) answerAtOnce(in, out []byte, date func() []byte, wait bool) (taken int, answers []byte, later bool) {
	var confirmed *core // brought up to date since all of in has come
	for {
		g, size := parsePlainGet(in[taken:])
		if size == 0 && taken == 0 {
			return n.writeAtOnce(in, out, date, wait)
		}
		c := n.core.Load()
		level, err := n.level(g.level)
		switch {
		case size == 0 || c == nil || err != nil || level == Lease || len(out) > answersMost:
			return taken, out, false
		case level == Linearizable && !wait:
			return taken, out, taken == 0
		case level == Linearizable && confirmed == nil:
			out, err = n.appendConfirmed(out, date, &g)
			if taken += size; err != nil {
				return taken, out, false
			}
			confirmed = c
			continue
		case level == Linearizable && confirmed != c:
			return taken, out, false
		}
		v := c.fsm.value(g.key)
		if !v.Found || len(v.Value) > quickBytes {
			return taken, out, false
		}
		n.counters.reads.Add(1)
		out = n.appendFound(out, date(), v, g.raw)
		taken += size
	}
}

// appendConfirmed appends the answer to a linearizable read, and says whether it is an
// error.
func (n *Node) appendConfirmed(out []byte, date func() []byte, g *plainGet) ([]byte, error) {
	v, err := n.Get(context.Background(), g.key, ReadOptions{Level: g.level})
	switch {
	case err != nil:
		return n.appendServed(out, func(ctx *fasthttp.RequestCtx) { n.failed(ctx, err, false) }), err
	case !v.Found:
		return n.appendServed(out, func(ctx *fasthttp.RequestCtx) { n.missing(ctx, v.Index) }), nil
	}
	return n.appendFound(out, date(), v, g.raw), nil
}

// appendServed appends what the server would write of an answer to a GET.
func (n *Node) appendServed(out []byte, answer fasthttp.RequestHandler) []byte {
	var ctx fasthttp.RequestCtx
	ctx.Response.Header.SetNoDefaultContentType(true)
	ctx.Response.Header.Set(healthcheck.HeaderNode, n.cfg.ID)
	answer(&ctx)
	b := bytes.NewBuffer(out)
	_, _ = ctx.Response.WriteTo(b) // memory takes it all
	return b.Bytes()
}

// appendFound appends the answer of serveGet to a read that found its key, as the server
// writes it.
func (n *Node) appendFound(out, date []byte, v Value, raw bool) []byte {
	from := len(out)
	mediaType := jsonType
	if raw {
		out, mediaType = append(out, v.Value...), binaryType
	} else {
		out = appendValueJSON(out, v.Value)
	}
	length := uint64(len(out) - from)
	var buf [512]byte
	b := append(buf[:0], "HTTP/1.1 200 OK\r\n"...)
	b = append(b, date...)
	b = append(append(b, "Content-Type: "...), mediaType...)
	b = strconv.AppendUint(append(b, "\r\nContent-Length: "...), length, 10)
	b = append(append(b, "\r\n"+healthcheck.HeaderNode+": "...), n.cfg.ID...)
	b = strconv.AppendUint(append(b, "\r\n"+HeaderIndex+": "...), v.Index, 10)
	b = v.ETag.append(append(b, "\r\nEtag: "...))
	b = strconv.AppendUint(append(b, "\r\n"+HeaderWrites+": "...), v.Writes, 10)
	b = append(b, "\r\nVary: Accept\r\n\r\n"...)
	return slices.Insert(out, from, b...)
}
