package lb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// patience is how often a stream that is silent looks whether its client is
// still there.
const patience = time.Second

// bodyStream is the body of an answer on its way from a backend to a client. An
// error of Read or WriteTo makes the server close the client's connection: a
// body that broke off never looks complete.
type bodyStream struct {
	b      *Balancer
	u      *upstream
	be     *backend
	client net.Conn
	record record

	left    int  // bytes of the body, or of this chunk, still to come
	chunked bool // left counts within a chunk
	begun   bool // a chunk has been read before
	toEnd   bool // up to the end of the connection
	done    bool
	keep    bool // the connection can serve again after a clean end

	silence time.Duration
	write   time.Duration
	passed  int64
}

// Read returns what has come, as soon as any has come.
func (s *bodyStream) Read(p []byte) (int, error) {
	piece, err := s.next(len(p))
	if err != nil {
		return 0, err
	}
	n := copy(p, piece)
	return n, s.advance(n)
}

// SupportsBodyWriteTo tells the server to prefer WriteTo where it need not frame
// the body in chunks.
func (s *bodyStream) SupportsBodyWriteTo() bool { return !s.chunked && !s.toEnd }

// WriteTo passes the body on without the server's buffer between, which would
// keep back what comes slowly. The server has flushed the head by then.
func (s *bodyStream) WriteTo(io.Writer) (int64, error) {
	var total int64
	for {
		piece, err := s.next(1 << 30)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := s.client.Write(piece)
		total += int64(n)
		if err != nil {
			return total, err
		}
		if err := s.advance(n); err != nil {
			return total, err
		}
	}
}

// next waits for bytes of the body and returns at most limit of them. They stay
// in the reader until advance.
func (s *bodyStream) next(limit int) ([]byte, error) {
	if s.done {
		return nil, io.EOF
	}
	if s.left == 0 && s.chunked {
		if err := s.nextChunk(); err != nil {
			return nil, err
		}
	}
	if s.left == 0 && !s.toEnd {
		s.done = true
		return nil, io.EOF
	}
	if err := s.wait(1); err != nil {
		if s.toEnd && err == io.EOF {
			s.done = true
			return nil, io.EOF
		}
		return nil, unexpected(err)
	}
	n := min(s.u.r.Buffered(), limit)
	if !s.toEnd {
		n = min(n, s.left)
	}
	if err := s.client.SetWriteDeadline(time.Now().Add(s.write)); err != nil {
		return nil, err
	}
	return s.u.r.Peek(n)
}

func (s *bodyStream) advance(n int) error {
	if _, err := s.u.r.Discard(n); err != nil {
		return err
	}
	s.passed += int64(n)
	if !s.toEnd {
		s.left -= n
	}
	return nil
}

// nextChunk reads the line before a chunk, and the trailers after the last.
func (s *bodyStream) nextChunk() error {
	if s.begun {
		if line, err := s.line(); err != nil || len(line) > 0 {
			return badChunk(err)
		}
	}
	s.begun = true
	line, err := s.line()
	if err != nil {
		return badChunk(err)
	}
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	n, err := strconv.ParseUint(string(trimSpace(line)), 16, 31)
	if err != nil {
		return badChunk(nil)
	}
	s.left = int(n)
	if n > 0 {
		return nil
	}
	for total := 0; ; {
		line, err := s.line()
		if err != nil {
			return badChunk(err)
		}
		if len(line) == 0 {
			return nil
		}
		if total += len(line); total > s.u.r.Size() {
			return badChunk(nil)
		}
	}
}

func badChunk(err error) error {
	if err == nil {
		return fmt.Errorf("%w: chunk", errBadAnswer)
	}
	return unexpected(err)
}

// line takes one line that ends in CR LF out of the reader.
func (s *bodyStream) line() ([]byte, error) {
	for n := 1; ; n = s.u.r.Buffered() + 1 {
		if err := s.wait(n); err != nil {
			return nil, err
		}
		b, err := s.u.r.Peek(s.u.r.Buffered())
		if err != nil {
			return nil, err
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			continue
		}
		if i == 0 || b[i-1] != '\r' {
			return nil, fmt.Errorf("%w: chunk", errBadAnswer)
		}
		_, err = s.u.r.Discard(i + 1)
		return b[:i-1], err
	}
}

// wait returns once n bytes are in the reader. While nothing comes it looks
// after the client.
func (s *bodyStream) wait(n int) error {
	if s.u.r.Buffered() >= n {
		return nil
	}
	until := time.Now().Add(s.silence)
	for {
		if err := s.u.SetReadDeadline(time.Now().Add(min(patience, s.silence))); err != nil {
			return err
		}
		_, err := s.u.r.Peek(n)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if !time.Now().Before(until) || clientLeft(s.client) {
			return err
		}
	}
}

// Close gives the connection back, or ends it where the body did not come to
// its end.
func (s *bodyStream) Close() error {
	if s.u == nil {
		return nil
	}
	if s.done && s.keep && s.u.r.Buffered() == 0 {
		s.be.pool.put(s.u)
	} else {
		s.be.pool.drop(s.u)
	}
	b, rec := s.b, s.record
	rec.bytes = s.passed
	if !s.done {
		rec.note = "broken"
	}
	*s = bodyStream{}
	b.streams.Put(s)
	b.finish(rec)
	return nil
}

// unexpected says that an end came before the end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
