package lb

import (
	"encoding/json"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

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
	if x.whole {
		if err := json.Unmarshal(x.ride.block[x.ans.size:], &r); err != nil {
			return refusal{}
		}
		return r
	}
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
