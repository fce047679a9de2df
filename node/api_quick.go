package node

import (
	"slices"
	"strconv"

	"github.com/dengine/dengine/healthcheck"
)

// quickBytes is the longest value that is answered at once.
const quickBytes = 64 << 10

// answerAtOnce is the API's edge.AtOnce. It answers what most reads are, an eventual one
// that finds its key, asked for in a way that leaves no question open.
func (n *Node) answerAtOnce(in, out, date []byte) (taken int, answers []byte) {
	for {
		g, size := parsePlainGet(in[taken:])
		if size == 0 {
			return taken, out
		}
		v := n.glance(&g)
		if !v.Found || len(v.Value) > quickBytes {
			return taken, out
		}
		out = n.appendFound(out, date, v, g.raw)
		taken += size
	}
}

// glance is Get where that is sure to need no waiting; else nothing is found.
func (n *Node) glance(g *plainGet) Value {
	c := n.core.Load()
	level, err := n.level(g.level)
	if c == nil || err != nil || level != Eventual {
		return Value{}
	}
	v := c.fsm.value(g.key)
	if v.Found {
		n.counters.reads.Add(1)
	}
	return v
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
