package node

import "bytes"

// writeAtOnce is answerAtOnce where the first request is a plain write. All of these that
// came together, pipelined (RFC 9112, 9.3.2: PUT and DELETE are idempotent), go into the log
// together, in their order. What comes behind them may be a read that must see them, and
// what would be refused is left to the server.
func (n *Node) writeAtOnce(in, out []byte, date func() []byte, wait bool) (taken int, answers []byte, later bool) {
	f := n.flock(date)
	var w Write
	for {
		size := parsePlainWrite(in[taken:], &w)
		if size == 0 || !f.add(&w) {
			break
		}
		if taken += size; !wait {
			f.free()
			return 0, out, true
		}
	}
	if taken == 0 {
		f.free()
		return 0, out, false
	}
	f.Answer(func(answer []byte) { out = append(out, answer...) })
	return taken, out, false
}

// parsePlainWrite reads the write that in begins with: a PUT of raw bytes or a DELETE,
// without a condition or an identity, that leaves no question open, as parsePlainGet has
// it. It says how long that is; 0 where it is not whole, or needs a closer look.
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
	if rest, ok = h.read(rest); !ok || put && !h.sized || w.Delete && h.length > 0 || uint64(len(rest)) < h.length {
		return 0
	}
	w.Value = rest[:h.length]
	return len(in) - len(rest) + len(w.Value)
}
