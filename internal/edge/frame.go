package edge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"
)

// BundleProtocol is what Upgrade names where requests are to come in frames.
const BundleProtocol = "dengine-writes"

// MaxMessage is the longest message that a frame holds, and MaxPlaces how many
// requests may be under way on one connection.
const (
	MaxMessage = 64 << 10
	MaxPlaces  = 1024
)

// ErrFrame says that what came is no frame, or one that must not come now.
var ErrFrame = errors.New("not a frame that can be taken")

// A frame is the length of its message and its place, each in four bytes, and the
// message: one whole request, or one whole answer.
const frameHead = 8

func appendFrame(b []byte, place uint32, message []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = binary.BigEndian.AppendUint32(b, place)
	return append(b, message...)
}

// NewFrameReader returns a reader that NextFrame can read from.
func NewFrameReader(c io.Reader) *bufio.Reader {
	return bufio.NewReaderSize(c, frameHead+MaxMessage)
}

// NextFrame returns the next message and its place. The message is good until the
// next one is read. After a deadline it can be called again.
func NextFrame(r *bufio.Reader) (place uint32, message []byte, err error) {
	head, err := r.Peek(frameHead)
	if err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head)
	place = binary.BigEndian.Uint32(head[4:])
	if n == 0 || n > MaxMessage || place >= MaxPlaces {
		return 0, nil, ErrFrame
	}
	frame, err := r.Peek(frameHead + int(n))
	if err != nil {
		return 0, nil, err
	}
	_, err = r.Discard(len(frame))
	return place, frame[frameHead:], err
}

// frameIsThere says whether NextFrame would return at once.
func frameIsThere(r *bufio.Reader) bool {
	if r.Buffered() < frameHead {
		return false
	}
	head, err := r.Peek(frameHead)
	n := binary.BigEndian.Uint32(head)
	return err != nil || n > MaxMessage || r.Buffered() >= frameHead+int(n)
}

// keepOut is the largest buffer that an Outbox keeps.
const keepOut = 256 << 10

// Outbox sends the frames of many goroutines over one connection, as many as
// there are in one go.
type Outbox struct {
	send func([]byte) error // must end the connection where it fails

	mu      sync.Mutex
	out     []byte // to be sent next
	spare   []byte // room for the next out
	sending bool   // somebody is about to send, or does
}

// NewOutbox returns an Outbox that calls send, never twice at once. Where send
// fails, the connection must be at its end: what was put then is gone.
func NewOutbox(send func([]byte) error) *Outbox { return &Outbox{send: send} }

// Put sends a message, or leaves it to whoever is about to send. Those who are
// ready to run come first, since they may have more to send.
func (o *Outbox) Put(place uint32, message []byte) {
	o.mu.Lock()
	o.out = appendFrame(o.out, place, message)
	o.post()
}

// Leave leaves a message to the next Flush, or to whoever sends before that.
func (o *Outbox) Leave(place uint32, message []byte) {
	o.mu.Lock()
	o.out = appendFrame(o.out, place, message)
	o.mu.Unlock()
}

// Flush sends what is there, unless somebody is about to. It does not wait: what some,
// which is as send and sends as much as there is room for, leaves is sent by a goroutine.
func (o *Outbox) Flush(some func([]byte) (int, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sending || len(o.out) == 0 {
		return
	}
	n, err := some(o.out)
	switch {
	case err != nil:
		o.out = o.out[:0]
	case n < len(o.out):
		o.out = append(o.out[:0], o.out[n:]...)
		o.sending = true
		go o.sendAll()
	case cap(o.out) > keepOut:
		o.out = nil
	default:
		o.out = o.out[:0]
	}
}

// putAll is Put of many frames.
func (o *Outbox) putAll(frames []byte) {
	o.mu.Lock()
	o.out = append(o.out, frames...)
	o.post()
}

// post sends what is there, unless somebody is about to; the lock is held, and is
// not any more when it returns.
func (o *Outbox) post() {
	if o.sending {
		o.mu.Unlock()
		return
	}
	o.sending = true
	o.mu.Unlock()
	runtime.Gosched()
	o.sendAll()
}

// sendAll is for who has said that it is sending.
func (o *Outbox) sendAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.out) > 0 {
		out := o.out
		o.out, o.spare = o.spare[:0], nil
		o.mu.Unlock()
		err := o.send(out)
		o.mu.Lock()
		if cap(out) <= keepOut {
			o.spare = out
		}
		if err != nil {
			o.out = o.out[:0]
			break
		}
	}
	o.sending = false
}
