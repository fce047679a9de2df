package node

import (
	"bytes"

	"github.com/dengine/dengine/internal/edge"
)

// writeAll answers plain writes. Those that came together go into the log together; of one
// connection (pipelined: RFC 9112, 9.3.2, PUT and DELETE are idempotent) they do so in
// their order. What comes behind them may be a read that must see them. What would be
// refused is left to the server.
func (n *Node) writeAll(asks []edge.Ask, date func() []byte) {
	for len(asks) > 0 {
		asks = asks[n.writeSome(asks, date):]
	}
}

// writeSome is writeAll of as many asks as one flock has room for, one at least.
func (n *Node) writeSome(asks []edge.Ask, date func() []byte) (done int) {
	f := n.flock(date)
	for done < len(asks) {
		p := f.join(asks[done].In())
		if p.writes == 0 {
			break
		}
		f.parts = append(f.parts, p)
		done++
	}
	if done == 0 {
		f.free()
		asks[0].Reply(0, nil)
		return 1
	}
	at := 0
	f.answers = f.answers[:0]
	f.Answer(func(answer []byte) {
		f.answers = append(f.answers, answer...)
		p := &f.parts[at]
		if p.writes--; p.writes == 0 {
			asks[at].Reply(p.size, f.answers)
			at, f.answers = at+1, f.answers[:0]
		}
	})
	return done
}

// part is what a flock has of one connection.
type part struct {
	size   int // in bytes
	writes int
}

// join takes the plain writes that in begins with, as long as there is room.
func (f *flock) join(in []byte) (p part) {
	var w Write
	for {
		size := parsePlainWrite(in[p.size:], &w)
		if size <= 0 || !f.add(&w) {
			return p
		}
		p.size += size
		p.writes++
	}
}

// parsePlainWrite reads the write that in begins with: a PUT of raw bytes or a DELETE,
// without a condition or an identity, that leaves no question open, as parsePlainGet has
// it. It says how long that is; 0 where its head is not whole, or it needs a closer look,
// and with a minus where only the end of its value has not come.
func parsePlainWrite(in []byte, w *Write) (size int) {
	*w = Write{}
	rest, put := bytes.CutPrefix(in, []byte("PUT "+pathKVKey))
	if !put {
		if rest, w.Delete = bytes.CutPrefix(in, []byte("DELETE "+pathKVKey)); !w.Delete {
			return 0
		}
	}
	w.Key, rest = cutPlainKey(rest)
	rest, ok := bytes.CutPrefix(rest, []byte(" HTTP/1.1\r\n"))
	if !ok || checkKey(w.Key) != nil {
		return 0
	}
	var h plainHead
	if rest, ok = h.read(rest); !ok || put && !h.sized || w.Delete && h.length > 0 || h.length > quickBytes {
		return 0
	}
	size = len(in) - len(rest) + int(h.length) //nolint:gosec // at most quickBytes
	if size > len(in) {
		return -size
	}
	w.Value = rest[:h.length]
	return size
}

// plainStarts are what plain requests begin with.
var plainStarts = [...]string{"GET " + pathKVKey, "PUT " + pathKVKey, "DELETE " + pathKVKey}

// isPlainPart says whether in may be a part of the head of a plain request.
func isPlainPart(in []byte) bool {
	if len(in) > usualHead || bytes.Contains(in, []byte("\r\n\r\n")) {
		return false
	}
	for _, start := range plainStarts {
		if n := min(len(in), len(start)); string(in[:n]) == start[:n] {
			return true
		}
	}
	return false
}
