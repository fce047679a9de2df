package node

import (
	"bytes"
	"context"

	"github.com/dengine/dengine/node/internal/kv"
)

// writeAtOnce is answerAtOnce where the first request is a plain write, which waits. It is
// the only one that is taken: what comes behind it may be a read that must see it. What
// would be refused is left to the server.
func (n *Node) writeAtOnce(in, out []byte, date func() []byte, wait bool) (taken int, answers []byte, later bool) {
	var w Write
	var cmd kv.Command
	size := parsePlainWrite(in, &w)
	if size == 0 || n.command(&w, &cmd) != nil {
		return 0, out, false
	}
	if !wait {
		return 0, out, true
	}
	res, err := n.propose(context.Background(), &cmd) // it is decided in any case
	done, err := n.decided(&res, err)
	return size, n.appendAnswer(out, date, &w.Identity, &done, err), false
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
