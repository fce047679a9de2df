package lb

import (
	"io"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// write sends the request, or lets a short one go out with the read of its answer.
// The stream can be read only once.
func (x *exchange) write(u *upstream) error {
	switch {
	case x.stream == nil && len(x.body) <= joinBody && u.sendWithRead(x.head):
		return nil
	case u.used && !u.fresh():
		return errStale
	}
	if _, err := u.Write(x.head); err != nil {
		return err
	}
	if x.stream != nil {
		return x.writeStream(u)
	}
	if len(x.body) > joinBody {
		_, err := u.Write(x.body)
		return err
	}
	return nil
}

// writeStream passes the client's body on as it comes. Each pause of either
// side has its own limit.
func (x *exchange) writeStream(u *upstream) error {
	if x.buf == nil {
		x.buf = make([]byte, copyAnswer)
	}
	const room = 10 // for a chunk's size and CR LF, before the data
	total := 0
	for {
		if err := x.ctx.Conn().SetReadDeadline(time.Now().Add(x.set.cfg.Limits.BodyTimeout)); err != nil {
			x.problem = err
			return err
		}
		n, err := x.stream.Read(x.buf[room : len(x.buf)-2])
		total += n
		switch {
		case total > x.set.cfg.Limits.BodyBytes:
			x.problem = fasthttp.ErrBodyTooLarge
			return x.problem
		case err != nil && err != io.EOF:
			x.problem = err
			return err
		case err == io.EOF && x.cutShort(x.length, total):
			x.problem = io.ErrUnexpectedEOF
			return x.problem
		}
		if n > 0 {
			piece := x.buf[room : room+n]
			if x.length == framingChunked {
				piece = chunk(x.buf, room, n)
			}
			if err := u.SetWriteDeadline(time.Now().Add(x.set.cfg.UpstreamTimeout)); err != nil {
				return err
			}
			if _, err := u.Write(piece); err != nil {
				return err
			}
		}
		if err == io.EOF {
			x.ended = true
			if x.length == framingChunked {
				_, err := u.Write([]byte("0\r\n\r\n"))
				return err
			}
			return nil
		}
	}
}

// chunk frames the n bytes at buf[room:] in place and returns the whole chunk.
func chunk(buf []byte, room, n int) []byte {
	var size [8]byte
	hex := strconv.AppendInt(size[:0], int64(n), 16)
	from := room - 2 - len(hex)
	copy(buf[from:], hex)
	copy(buf[room-2:], "\r\n")
	copy(buf[room+n:], "\r\n")
	return buf[from : room+n+2]
}
