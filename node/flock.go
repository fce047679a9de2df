package node

import (
	"bytes"
	"context"
	"strconv"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/node/internal/kv"
	"github.com/valyala/fasthttp"
)

// flock is writes that came together: the usual ones of a bundle, or plain ones over
// connections of their own. They go into the log together, and one goroutine waits for all
// of them.
type flock struct {
	n       *Node
	date    func() []byte // the header line of each answer
	encoded []byte        // their commands
	ids     []Identity
	answer  []byte

	// Of those over connections of their own.
	parts   []part
	answers []byte
}

// newFlock returns one of a bundle, whose answers are dated by whoever passes them on.
func (n *Node) newFlock() edge.Flock { return n.flock(func() []byte { return nil }) }

func (n *Node) flock(date func() []byte) *flock {
	f, ok := n.flocks.Get().(*flock)
	if !ok {
		f = &flock{n: n}
	}
	f.date = date
	return f
}

// Take implements edge.Flock.
func (f *flock) Take(request []byte) bool {
	var w Write
	return readUsual(request, &w) && f.add(&w)
}

// add says whether there is room for a write. What would be refused is left to the server.
func (f *flock) add(w *Write) bool {
	var cmd kv.Command
	if len(f.ids) >= maxEntryCommands || f.n.command(w, &cmd) != nil {
		return false
	}
	size := len(f.encoded)
	f.encoded = kv.AppendCommand(f.encoded, &cmd)
	if size > 0 && len(f.encoded) > f.n.cfg.MaxEntryBytes {
		f.encoded = f.encoded[:size]
		return false
	}
	f.ids = append(f.ids, w.Identity)
	return true
}

// Answer implements edge.Flock.
func (f *flock) Answer(put func([]byte)) {
	results, err := f.propose()
	var none kv.Result
	for i := range f.ids {
		res := &none
		if err == nil {
			res = &results[i]
		}
		done, err := f.n.decided(res, err)
		f.answer = f.appendAnswer(f.answer[:0], &f.ids[i], &done, err)
		put(f.answer)
	}
	f.free()
}

// free gives the flock back, with nothing in it.
func (f *flock) free() {
	f.encoded, f.ids, f.parts, f.date = f.encoded[:0], f.ids[:0], f.parts[:0], nil
	f.n.flocks.Put(f)
}

func (f *flock) propose() (results []kv.Result, err error) {
	c, err := f.n.writable()
	if err != nil {
		return nil, err
	}
	// They are decided in any case, whoever left meanwhile.
	ctx, cancel := context.WithTimeout(context.Background(), f.n.cfg.WriteTimeout)
	defer cancel()
	results, f.encoded, err = c.proposer.proposeAll(ctx, f.encoded, len(f.ids))
	return results, err
}

// appendAnswer appends what the server would answer.
func (f *flock) appendAnswer(b []byte, id *Identity, res *Result, err error) []byte {
	if err != nil || res.Failed || res.Replayed || res.Index == 0 || res.ETag == 0 {
		return f.n.appendUnusual(b, id, res, err)
	}
	b = append(append(b, "HTTP/1.1 200 OK\r\n"...), f.date()...)
	b = append(b, "Content-Type: "+jsonType+"\r\nContent-Length: 2\r\n"+healthcheck.HeaderNode+": "...)
	b = append(b, f.n.cfg.ID...)
	b = strconv.AppendUint(append(b, "\r\n"+HeaderIndex+": "...), res.Index, 10)
	b = res.ETag.append(append(b, "\r\nEtag: "...))
	b = strconv.AppendUint(append(b, "\r\n"+HeaderWrites+": "...), res.Writes, 10)
	if id.Sequence > 0 {
		b = strconv.AppendUint(append(b, "\r\n"+HeaderSequence+": "...), id.Sequence, 10)
	}
	return append(b, "\r\n\r\n{}"...)
}

// appendUnusual is appendAnswer of any other answer.
func (n *Node) appendUnusual(b []byte, id *Identity, res *Result, err error) []byte {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(fasthttp.MethodPut)
	ctx.Response.Header.SetNoDefaultContentType(true)
	ctx.Response.Header.Set(healthcheck.HeaderNode, n.cfg.ID)
	n.answerWrite(&ctx, id, *res, err)
	out := bytes.NewBuffer(b)
	_, _ = ctx.Response.WriteTo(out) // it cannot fail
	return out.Bytes()
}
