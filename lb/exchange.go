package lb

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/valyala/fasthttp"
)

const (
	// joinBody is up to which size a body is sent in one write with its head.
	joinBody = 16 << 10
	// copyAnswer is up to which size an answer is read whole, so that the
	// connection to the backend is free before the client has it all.
	copyAnswer = 64 << 10
	// keepBuffer is the largest buffer that waits for the next request.
	keepBuffer = 256 << 10
	// earlyAnswer is how long to look for the answer of a backend that stopped
	// reading the request.
	earlyAnswer = 100 * time.Millisecond
)

// errLongBusy says that a backend has its share of exchanges that may last.
var errLongBusy = errors.New("too many streams to the backend already")

// exchange is one client's request on its way. It is used again for others.
type exchange struct {
	ctx *fasthttp.RequestCtx
	set *settings

	class  class
	isHead bool
	hw     headWriter
	head   []byte // as backends get it
	body   []byte // read whole; nil where stream is set
	stream io.Reader
	length int  // of the stream: bytes, or framingChunked
	ended  bool // the stream was sent to its end

	conn     *upstream
	ans      answer
	hint     *backend // where the last refusal pointed
	hints    int      // how many were followed
	tried    []*backend
	buf      []byte // for streaming
	err      error  // of the last attempt
	problem  error  // of reading the client's body
	attempts int
	timeouts int // attempts of a read that took too long
	holds    int
	began    time.Time // the last attempt of a read
	answers  uint64    // that its backend had given before
	// strained: the last attempt broke, or timed out, after it was sent.
	strained bool
	minIndex uint64 // that a read asks for; 0: none
	raised   bool   // not by its client

	headEnd  int      // where head ends, apart from the empty line
	numbered bool     // it may carry a number
	keeps    bool     // the backend picked last keeps identities
	reign    uint64   // when it was picked, or a read's attempt began
	session  *session // nil: it has no number
	sequence uint64   // its number
	sealed   int      // bytes of head that its identity takes
	// doubt: it may have been executed, and no answer has said so under its number.
	doubt    bool
	extended bool // its hold time began anew with the doubt

	streams  bool      // the answer is still under way when the handler returns
	left     bool      // the client did not wait
	charged  int       // of Balancer.buffered
	long     *backend  // whose share of long exchanges this one is part of
	pushback *pushback // the last attempt's, if it was one

	start     time.Time
	readBy    time.Time // end of all attempts of a read
	holdUntil time.Time
	held      time.Duration
	backend   *backend // of the last attempt
}

// reset makes x ready for another request.
func (x *exchange) reset() {
	head, body, tried, hw, buf, conn := x.head[:0], x.body[:0], x.tried[:0], x.hw, x.buf, x.ans.conn
	if cap(body) > keepBuffer {
		body = nil
	}
	clear(x.tried)
	conn.reset()
	*x = exchange{head: head, body: body, tried: tried, hw: hw, buf: buf, ans: answer{conn: conn}}
}

// send tries one backend, until the head of its answer is there. On endAnswered
// x.conn and x.ans hold the answer.
func (x *exchange) send(ctx context.Context, g *registry, be *backend, by time.Time, newConn bool) (a attempt) {
	x.attempts++
	x.backend, x.err = be, nil
	be.requests.Add(1)
	defer func() {
		if a.end != endAnswered && a.end != endClientLeft && a.end != endFull {
			be.errors.Add(1)
		}
	}()
	x.endLong()
	if (x.stream != nil || x.hw.upgrade != nil) && !x.beginLong(be) {
		x.err = errLongBusy
		return attempt{end: endFull}
	}
	connectBy := time.Now().Add(x.set.cfg.ConnectTimeout)
	if by.Before(connectBy) {
		connectBy = by
	}
	u, err := be.pool.get(ctx, connectBy, newConn)
	if err != nil {
		x.err = err
		return attempt{end: endUnreachable}
	}
	if x.session != nil && !g.claim(u, be, x.reign) {
		be.pool.put(u)
		x.err = errPoolLeft
		return attempt{end: endUnreachable}
	}
	a = x.exchange(g, u, by)
	a.sent, a.reused = u.wrote, u.used
	if a.end != endAnswered {
		be.pool.drop(u)
		return a
	}
	x.conn = u
	return a
}

func (x *exchange) exchange(g *registry, u *upstream, by time.Time) attempt {
	if err := u.SetDeadline(by); err != nil {
		return x.broke(err)
	}
	err := x.write(u)
	if x.problem != nil {
		x.err = x.problem
		return attempt{end: endClientLeft}
	}
	if err != nil && !u.wrote {
		return x.broke(err)
	}
	// A backend may answer without reading all of the body: what it said is
	// still there to be read, and must be there by now.
	switch {
	case err != nil:
		if err := u.SetDeadline(time.Now().Add(earlyAnswer)); err != nil {
			return x.broke(err)
		}
	case x.stream != nil:
		if err := u.SetDeadline(time.Now().Add(x.set.cfg.UpstreamTimeout)); err != nil {
			return x.broke(err)
		}
	}
	var errRead error
	if err == nil && x.movable() {
		errRead = x.awaitHead(g, u, by)
	} else {
		errRead = x.ans.read(u.r, x.isHead, x.hw.upgrade != nil)
	}
	switch {
	case errRead != nil && err != nil:
		return x.broke(err)
	case errRead != nil:
		return x.broke(errRead)
	}
	if err != nil || (x.stream != nil && !x.ended) {
		x.ans.keep = false
	}
	return attempt{
		end: endAnswered, status: x.ans.status, mark: x.ans.mark,
		echoes: x.session != nil && x.ans.sequence == x.sequence,
	}
}

func (x *exchange) broke(err error) attempt {
	x.err = err
	if calledOff := errors.Is(err, errCalledOff); calledOff || errors.Is(err, os.ErrDeadlineExceeded) {
		return attempt{end: endTimedOut, calledOff: calledOff}
	}
	return attempt{end: endBroken}
}

// write sends the request. The stream can be read only once.
func (x *exchange) write(u *upstream) error {
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

// discard throws the answer on x.conn away, keeping the connection where the
// body is short. It returns the body where it read it.
func (x *exchange) discard() []byte {
	u, be := x.conn, x.backend
	x.conn = nil
	if !x.ans.keep || x.ans.length < 0 || x.ans.size+x.ans.length > u.r.Size() {
		be.pool.drop(u)
		return nil
	}
	block, err := u.r.Peek(x.ans.size + x.ans.length)
	if err != nil {
		be.pool.drop(u)
		return nil
	}
	body := append([]byte(nil), block[x.ans.size:]...)
	if _, err := u.r.Discard(len(block)); err != nil || u.r.Buffered() > 0 {
		be.pool.drop(u)
		return body
	}
	be.pool.put(u)
	return body
}

// beginLong counts an exchange whose length the client decides. Such ones get at
// most half of a backend's connections, so that the others find some.
func (x *exchange) beginLong(be *backend) bool {
	if be.long.Add(1) > int64(max(1, x.set.cfg.UpstreamConns/2)) {
		be.long.Add(-1)
		return false
	}
	x.long = be
	return true
}

func (x *exchange) endLong() {
	if x.long != nil {
		x.long.long.Add(-1)
		x.long = nil
	}
}

// codeSessionUnknown is the error of a node whose cluster knows no such session.
const codeSessionUnknown = "session_unknown"

// codeBehind is the error of a node that does not come as far as a read asks. Where
// the balancer asked for it, some node has been there, and others will be.
const codeBehind = "behind"

// refusal is what a dengine node's error says.
type refusal struct {
	Error   string             `json:"error"`
	Message string             `json:"message"`
	Leader  healthcheck.Leader `json:"leader"`
}

// passes says that the refusal is for the moment: as soon as there is a leader,
// it, or another node, will take the write.
func (r refusal) passes() bool {
	switch r.Error {
	case "not_leader", "no_leader", "starting", "shutting_down":
		return true
	}
	return false
}

// pushback is a refusal by a backend that could take the write but does not
// want to now.
type pushback struct{ code, message string }

// peekRefusal reads an error of a dengine node without taking it off the
// connection.
func (x *exchange) peekRefusal() refusal {
	var r refusal
	if x.ans.length <= 0 || x.ans.size+x.ans.length > x.conn.r.Size() {
		return r
	}
	size, length := x.ans.size, x.ans.length
	if x.movable() && x.conn.r.Buffered() < size+length { // its deadline is that of the last look
		if err := x.conn.SetReadDeadline(time.Now().Add(x.set.cfg.ReadAttemptTimeout)); err != nil {
			return r
		}
	}
	block, err := x.conn.r.Peek(size + length)
	if err != nil {
		return r
	}
	// Peek may have moved the head within the reader.
	if err := x.ans.parse(block[:size], x.isHead); err != nil {
		return r
	}
	if err := json.Unmarshal(block[size:], &r); err != nil {
		return refusal{}
	}
	return r
}

// isRefused tells a backend that is certainly not serving from one that is slow.
func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, net.ErrClosed)
}
