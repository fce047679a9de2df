package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dengine/dengine/node/internal/kv"
)

// SessionID names a session. Whoever knows it can take the session's numbers:
// keep it out of logs and away from people.
type SessionID [16]byte

// String tells nothing, so that no log shows an id by accident.
func (SessionID) String() string { return "(session)" }

// GoString is as String.
func (id SessionID) GoString() string { return id.String() }

// Session is an open session.
type Session struct {
	ID      SessionID
	Window  uint64        // how many numbers may be ahead of what is acknowledged
	Timeout time.Duration // it is over when it is not used for this long
}

// Identity tells a write from every other one: the write is executed once, however
// often it comes, and each time gets the same Result. It is a number in a session,
// or an idempotency key, or both; either is enough to know the write again. The
// zero value is a write that may be executed as often as it comes.
type Identity struct {
	Session  SessionID
	Sequence uint64 // number in the session, from 1; 0: the write has no session
	// Acked says that of all numbers up to it, below Sequence, the answers have
	// come. Their answers are forgotten.
	Acked uint64
	// Key is kept for Config.IdempotencyWindow: 1 to 255 bytes; empty: the write
	// has none. Scope is whose key it is, such as their credentials, of which
	// only a hash is kept; all without one share a name space.
	Key   []byte
	Scope []byte
}

// OpenSession opens a session through the log. An error wraps ErrNotApplied or
// ErrUnknown; a session that may have been opened so ends by itself.
func (n *Node) OpenSession(ctx context.Context) (Session, error) {
	var id SessionID
	rand.Read(id[:]) // it never fails
	if err := n.session(ctx, kv.OpOpen, id, 0); err != nil {
		return Session{}, err
	}
	timeout := n.core.Load().fsm.limits().SessionTimeout // the cluster's: another node's settings may hold
	return Session{ID: id, Window: kv.Window, Timeout: time.Duration(timeout)}, nil
}

// RenewSession keeps a session alive that has nothing to write, and says up to
// which number all answers have come. ErrSessionUnknown: the session is over.
func (n *Node) RenewSession(ctx context.Context, id SessionID, acked uint64) error {
	return n.session(ctx, kv.OpRenew, id, acked)
}

// CloseSession ends a session; what still comes in it is not executed.
func (n *Node) CloseSession(ctx context.Context, id SessionID) error {
	return n.session(ctx, kv.OpClose, id, 0)
}

// session runs a command of a session. A refusal has changed nothing.
func (n *Node) session(ctx context.Context, op kv.Op, id SessionID, acked uint64) error {
	res, err := n.propose(ctx, &kv.Command{Op: op, ID: kv.Identity{Session: kv.SessionID(id), Acked: acked}})
	if err == nil && res.Status != kv.StatusOK {
		err = notApplied(statusError(res.Status))
		n.countFull(res.Status)
	}
	return err
}

// statusError is why the state machine did not execute a write, nil where it did.
func statusError(s kv.Status) error {
	switch s {
	case kv.StatusFull:
		return ErrIdentitiesFull
	case kv.StatusKeyReused:
		return ErrKeyReused
	case kv.StatusSessionUnknown:
		return ErrSessionUnknown
	case kv.StatusSequenceAnswered:
		return ErrSequenceAnswered
	case kv.StatusBeyondWindow:
		return ErrSequenceBeyondWindow
	}
	return nil
}

func (n *Node) countFull(s kv.Status) {
	if s == kv.StatusFull {
		n.counters.full.Add(1)
	}
}

// check says whether an identity can be one.
func (id *Identity) check() error {
	switch {
	case id.Sequence == 0 && (id.Session != SessionID{} || id.Acked != 0):
		return fmt.Errorf("%s: %w: a session write needs a number, from 1", HeaderSequence, ErrBadInput)
	case id.Sequence != 0 && id.Acked >= id.Sequence:
		return fmt.Errorf("%s: %w: %d is not below the write's own number, %d", HeaderAcked, ErrBadInput, id.Acked, id.Sequence)
	case len(id.Key) > kv.MaxIDKeyBytes:
		return fmt.Errorf("%s: %w: %d bytes, at most %d", HeaderIdempotencyKey, ErrBadInput, len(id.Key), kv.MaxIDKeyBytes)
	}
	return nil
}

// identify gives a command the identity of its write.
func (id *Identity) identify(c *kv.Command) {
	c.ID = kv.Identity{Session: kv.SessionID(id.Session), Sequence: id.Sequence, Acked: id.Acked, Key: id.Key}
	if len(id.Key) == 0 {
		return
	}
	if len(id.Scope) > 0 {
		sum := sha256.Sum256(id.Scope)
		c.ID.Scope = kv.Scope(sum[:])
	}
	c.ID.Fingerprint = fingerprint(c)
}

// fingerprint is a hash of what a write asks for. Versions of this program must
// agree on it, so it does not depend on how the log is encoded: it is of the
// operation, the condition with its revisions, the key and the value, numbers in
// eight bytes and key and value after their length.
func fingerprint(c *kv.Command) kv.Fingerprint {
	h := sha256.New()
	head := make([]byte, 0, 64)
	for _, n := range []uint64{uint64(c.Op), uint64(c.Cond.Kind), uint64(len(c.Cond.Revs))} {
		head = binary.BigEndian.AppendUint64(head, n)
	}
	for _, r := range c.Cond.Revs {
		head = binary.BigEndian.AppendUint64(head, r)
	}
	h.Write(binary.BigEndian.AppendUint64(head, uint64(len(c.Key))))
	h.Write(c.Key)
	h.Write(binary.BigEndian.AppendUint64(head[:0], uint64(len(c.Value))))
	h.Write(c.Value)
	return kv.Fingerprint(h.Sum(nil))
}

// identityLimits are the limits that this node sets when it leads.
func (c Config) identityLimits() kv.Limits {
	return kv.Limits{
		MaxSessions: uint64(c.MaxSessions), SessionTimeout: uint64(c.SessionTimeout),
		MaxKeys: uint64(c.MaxIdempotencyKeys), MaxKeyBytes: uint64(c.MaxIdempotencyBytes), KeyWindow: uint64(c.IdempotencyWindow),
	}
}

// validateIdentities bounds the limits: timeouts that a pause of a process does
// not use up, and tables that memory holds.
func (c Config) validateIdentities() error {
	const day = 24 * time.Hour
	for _, f := range []struct {
		name               string
		value, least, most int64
	}{
		{"session timeout", int64(c.SessionTimeout), int64(100 * time.Millisecond), int64(day)},
		{"max sessions", int64(c.MaxSessions), 1, 1 << 16},
		{"idempotency window", int64(c.IdempotencyWindow), int64(100 * time.Millisecond), int64(30 * day)},
		{"max idempotency keys", int64(c.MaxIdempotencyKeys), 1, 1 << 30},
		{"max idempotency bytes", int64(c.MaxIdempotencyBytes), 1 << 10, 1 << 40},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("%s is %d: must be %d to %d", f.name, f.value, f.least, f.most)
		}
	}
	return nil
}
