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

// flock is the usual writes that came together in a bundle. They go into the log
// together, and one goroutine waits for all of them.
type flock struct {
	n       *Node
	encoded []byte // their commands
	ids     []Identity
	answer  []byte
}

func (n *Node) newFlock() edge.Flock {
	f, ok := n.flocks.Get().(*flock)
	if !ok {
		f = &flock{n: n}
	}
	return f
}

// Take implements edge.Flock. What would be refused is left to the server.
func (f *flock) Take(request []byte) bool {
	var w Write
	var cmd kv.Command
	if len(f.ids) >= maxEntryCommands || !readUsual(request, &w) || f.n.command(&w, &cmd) != nil {
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
		f.answer = f.n.appendAnswer(f.answer[:0], undated, &f.ids[i], &done, err)
		put(f.answer)
	}
	f.encoded, f.ids = f.encoded[:0], f.ids[:0]
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

// undated is the date of an answer in a bundle: whoever passes it on dates it.
func undated() []byte { return nil }

// appendAnswer appends what the server would answer.
func (n *Node) appendAnswer(b []byte, date func() []byte, id *Identity, res *Result, err error) []byte {
	if err != nil || res.Failed || res.Replayed || res.Index == 0 || res.ETag == 0 {
		return n.appendUnusual(b, id, res, err)
	}
	b = append(append(b, "HTTP/1.1 200 OK\r\n"...), date()...)
	b = append(b, "Content-Type: "+jsonType+"\r\nContent-Length: 2\r\n"+healthcheck.HeaderNode+": "...)
	b = append(b, n.cfg.ID...)
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
