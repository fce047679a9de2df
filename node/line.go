package node

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

// The cluster's brief questions, which are asked for every few reads and so are
// not JSON. A question is a number of eight bytes, big-endian; the answer says
// whether it could be answered (1) or not (0), repeats the number, and gives a
// term and, on streamIndex, a log index.
const (
	questionBytes = 8
	answerBytes   = 1 + 3*8
)

// brief is the answer to a brief question.
type brief struct {
	ok          bool
	number      uint64
	term, index uint64
}

func (b brief) append(buf []byte) []byte {
	ok := byte(0)
	if b.ok {
		ok = 1
	}
	buf = append(buf, ok)
	buf = binary.BigEndian.AppendUint64(buf, b.number)
	buf = binary.BigEndian.AppendUint64(buf, b.term)
	return binary.BigEndian.AppendUint64(buf, b.index)
}

func parseBrief(buf []byte) brief {
	return brief{
		ok: buf[0] == 1, number: binary.BigEndian.Uint64(buf[1:]),
		term: binary.BigEndian.Uint64(buf[9:]), index: binary.BigEndian.Uint64(buf[17:]),
	}
}

// brief answers a connection's brief questions until it ends or is idle.
func (p *raftPort) brief(c net.Conn, answer func() brief) {
	var question [questionBytes]byte
	buf := make([]byte, 0, answerBytes)
	for {
		if err := c.SetReadDeadline(time.Now().Add(questionIdle)); err != nil {
			return
		}
		if _, err := io.ReadFull(c, question[:]); err != nil {
			return
		}
		b := answer()
		b.number = binary.BigEndian.Uint64(question[:])
		if _, err := c.Write(b.append(buf)); err != nil {
			return
		}
	}
}

// line is a connection to a peer for brief questions, made when one is to be
// asked. One is under way at a time; of those that wait only the newest is asked,
// since its answer is worth as much to whoever asked before.
type line struct {
	dial     func(context.Context) (net.Conn, error)
	patience time.Duration // for a connection, and for an answer
	answered func(brief)   // called on the line's goroutine

	mu     sync.Mutex
	conn   net.Conn // nil while there is none
	open   bool     // a goroutine dials or reads
	closed bool
	wanted uint64    // the newest question
	asked  uint64    // the one under way; 0: none
	since  time.Time // it has been
}

// ask puts question number (from 1, ascending) as soon as that is possible. It does
// not wait. What gets lost may be asked again.
func (l *line) ask(number uint64, spawn func(func()) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted = max(l.wanted, number)
	switch {
	case l.closed:
	case !l.open:
		l.open = spawn(l.run)
	case l.conn == nil: // it is being dialled
	case l.asked == 0:
		l.send()
	case time.Since(l.since) > l.patience:
		l.conn.Close() // what it was sent may be lost: a new connection tells sooner
	}
}

// send asks the newest question; the lock is held, and nothing is under way, so
// that the few bytes never wait for room.
func (l *line) send() {
	l.asked, l.since = l.wanted, time.Now()
	if _, err := l.conn.Write(binary.BigEndian.AppendUint64(nil, l.asked)); err != nil {
		l.conn.Close() // the reader finds out
	}
}

func (l *line) run() {
	ctx, cancel := context.WithTimeout(context.Background(), l.patience)
	conn, err := l.dial(ctx)
	cancel()
	if err == nil {
		l.read(conn)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.open, l.asked = nil, false, 0
}

// read reads answers until the connection ends.
func (l *line) read(conn net.Conn) {
	defer conn.Close()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.conn = conn
	l.send()
	l.mu.Unlock()
	var buf [answerBytes]byte
	for {
		if _, err := io.ReadFull(conn, buf[:]); err != nil {
			return
		}
		b := parseBrief(buf[:])
		l.mu.Lock()
		if l.asked = 0; l.wanted > b.number {
			l.send()
		}
		l.mu.Unlock()
		l.answered(b)
	}
}

// close ends the line for good.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.conn != nil {
		l.conn.Close()
	}
}
