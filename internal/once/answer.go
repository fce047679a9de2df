package once

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Answer is what a load has to know of an HTTP answer.
type Answer struct {
	Status  int
	Outcome string // Dengine-Outcome
	ETag    string
	Writes  uint64 // Dengine-Writes, of the key
	// Replayed says that the answer is that of an earlier copy of the write.
	Replayed bool
	Body     []byte
}

// OK says that the request was served.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Code is the machine code of an error answer.
func (a Answer) Code() string {
	var body struct{ Error string }
	if json.Unmarshal(a.Body, &body) != nil || body.Error == "" {
		return "no code"
	}
	return body.Error
}

// Fate is what a client knows of a write.
type Fate byte

// The fates.
const (
	UnderWay Fate = iota
	Acked         // it was answered with 2xx: it has happened, once
	Unknown       // it may have happened, or may happen yet, once at most
	Refused       // Dengine-Outcome: not-applied, or nothing was sent: it has not happened and will not
)

// FateOf judges what Do has returned for a write.
func FateOf(a Answer, err error) Fate {
	switch {
	case err == nil && a.OK():
		return Acked
	case err == nil && a.Outcome == "not-applied", errors.Is(err, ErrNotSent):
		return Refused
	default:
		return Unknown
	}
}

// Reason is why a request failed, short and without addresses, for counting.
func Reason(a Answer, err error) string {
	switch {
	case err == nil:
		return fmt.Sprintf("%d %s", a.Status, a.Code())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed without an answer"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}
