package lb

import (
	"errors"
	"io"

	"github.com/valyala/fasthttp"
)

// errBufferFull says that a body found no room among those that are kept.
var errBufferFull = errors.New("no room for another request body")

// charge reserves room for a body of that size. A short one is free: its memory
// is much the same as its connection's.
func (b *Balancer) charge(x *exchange, size int) error {
	more := int64(size - x.charged)
	if size <= joinBody || more <= 0 {
		return nil
	}
	if b.buffered.Add(more) > int64(x.set.cfg.BufferTotal) {
		b.buffered.Add(-more)
		return errBufferFull
	}
	x.charged = size
	return nil
}

// readBody reads up to BufferBody bytes. Where there is more, it leaves what it
// has read and the rest to be streamed. Room is taken as bytes come, not as
// they are announced.
func (b *Balancer) readBody(x *exchange, stream io.Reader, length int) error {
	cfg := &x.set.cfg
	if length > cfg.BufferBody {
		x.stream = stream
		return nil
	}
	most := cfg.BufferBody + 1 // one more tells that it is too long
	if length >= 0 {
		most = length + 1
	}
	for room := min(joinBody, most); ; {
		if len(x.body) == room {
			room = min(2*room, most)
			if err := b.charge(x, room); err != nil {
				return err
			}
		}
		if len(x.body) == cap(x.body) {
			grown := make([]byte, len(x.body), min(room, max(512, 2*len(x.body))))
			copy(grown, x.body)
			x.body = grown
		}
		n, err := stream.Read(x.body[len(x.body):min(room, cap(x.body))])
		x.body = x.body[:len(x.body)+n]
		switch {
		case len(x.body) > cfg.Limits.BodyBytes:
			return fasthttp.ErrBodyTooLarge
		case err == io.EOF && x.cutShort(length, len(x.body)):
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(x.body) > cfg.BufferBody:
			x.stream = io.MultiReader(&taken{x.body}, stream)
			x.body = nil
			return nil
		}
	}
}

// discardBody frees what was read of a body that will not be sent, and reads the
// rest away: an answer that overtakes the request is lost when the connection is
// closed under it.
func (x *exchange) discardBody(stream io.Reader) {
	x.body = nil
	_, _ = io.CopyN(io.Discard, stream, int64(x.set.cfg.Limits.BodyBytes)) // it ends with the body timeout at the latest
}

// cutShort says whether a body that ended after n bytes is not whole. The
// server's reader of chunks returns the same io.EOF after the last chunk and
// where the connection ended before it, so a connection that has ended counts as
// the latter: nobody is left to be answered anyway.
func (x *exchange) cutShort(length, n int) bool {
	if length >= 0 {
		return n < length
	}
	return clientLeft(x.ctx.Conn())
}

// taken gives back what was read before it was known that it is too much.
type taken struct{ rest []byte }

func (t *taken) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}
