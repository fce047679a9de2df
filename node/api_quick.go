package node

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// quickBytes is the longest value that is read or written past the server.
const quickBytes = 64 << 10

// answersMost is how many bytes of answers go out together, and the last one's.
const answersMost = 256 << 10

// quickAPI is the API's edge.AtOnce. It answers what most requests are, of one key, asked
// for in a way that leaves no question open: eventual reads now, and linearizable ones and
// writes later, together with all that came with them over whatever connections.
type quickAPI struct{ n *Node }

// Now implements edge.AtOnce.
func (a quickAPI) Now(in, out, date []byte) (taken int, answers []byte, next edge.Next) {
	n, c := a.n, a.n.core.Load()
	for taken < len(in) {
		g, size := parsePlainGet(in[taken:])
		if size == 0 {
			return taken, out, nextOf(in[taken:])
		}
		level, err := n.level(g.level)
		switch {
		case c == nil || err != nil || level == Lease:
			return taken, out, edge.NextServed
		case level == Linearizable:
			return taken, out, edge.NextRead
		case len(out) > answersMost:
			return taken, out, edge.NextAgain
		}
		ok := false
		if out, ok = n.appendRead(out, date, c.fsm, &g, quickBytes); !ok {
			return taken, out, edge.NextServed
		}
		n.counters.reads.Add(1)
		taken += size
	}
	return taken, out, edge.NextServed
}

// Length implements edge.AtOnce. Reads that Now leaves to the server come in rows, as from a
// balancer, and those it answers in one go.
func (a quickAPI) Length(in []byte) (size int, part bool) {
	if g, size := parsePlainGet(in); size > 0 {
		if level, err := a.n.level(g.level); err != nil || level == Lease {
			return 0, false
		}
		return size, false
	}
	var w Write
	if size = parsePlainWrite(in, &w); size != 0 {
		return max(size, -size), false
	}
	return 0, isPlainPart(in)
}

// nextOf is what is to become of a request that is no plain read.
func nextOf(in []byte) edge.Next {
	var w Write
	size := parsePlainWrite(in, &w)
	switch {
	case size > 0:
		return edge.NextWrite
	case size < 0 || isPlainPart(in):
		return edge.NextPart
	}
	return edge.NextServed
}

// Later implements edge.AtOnce.
func (a quickAPI) Later(what edge.Next, asks []edge.Ask, date func() []byte) {
	if what == edge.NextWrite {
		a.n.writeAll(asks, date)
		return
	}
	a.n.readAll(asks, date)
}

// readAll answers linearizable reads. They wait for one round, which begins when all of
// them are there, and so do the reads that came behind them.
func (n *Node) readAll(asks []edge.Ask, date func() []byte) {
	var seen *fsm
	err := n.read(context.Background(), ReadOptions{Level: Linearizable}, func(f *fsm) { seen = f })
	buf, ok := n.answers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	reads := -1 // one is counted
	for i := range asks {
		taken, out, count := n.appendReads((*buf)[:0], date(), asks[i].In(), seen, err)
		reads += count
		asks[i].Reply(taken, out)
		*buf = out
	}
	if n.counters.reads.Add(uint64(max(reads, 0))); cap(*buf) <= answersMost {
		n.answers.Put(buf)
	}
}

// appendReads appends the answers to the plain reads that in begins with, from a state that
// is new enough for all of them, or else the error of why there is none to the first. It
// takes none where the server is to answer that.
func (n *Node) appendReads(out, date, in []byte, seen *fsm, err error) (taken int, answers []byte, reads int) {
	for len(out) <= answersMost {
		g, size := parsePlainGet(in[taken:])
		if size == 0 {
			break
		}
		if err != nil {
			out = n.appendServed(out, func(ctx *fasthttp.RequestCtx) { n.failed(ctx, err, false) })
			return size, out, 1
		}
		level, weaker := n.level(g.level)
		ok := weaker == nil && level != Lease
		if ok {
			most := quickBytes
			if reads == 0 {
				most = n.cfg.MaxValueBytes // they have waited for it
			}
			out, ok = n.appendRead(out, date, seen, &g, most)
		}
		if !ok {
			break
		}
		reads++
		taken += size
	}
	return taken, out, reads
}

// appendRead appends the answer to a read of this state, unless the value is longer.
func (n *Node) appendRead(out, date []byte, f *fsm, g *plainGet, most int) ([]byte, bool) {
	v := f.value(g.key)
	switch {
	case !v.Found:
		return n.appendServed(out, func(ctx *fasthttp.RequestCtx) { n.missing(ctx, v.Index) }), true
	case len(v.Value) > most:
		return out, false
	}
	return n.appendFound(out, date, v, g.raw), true
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
