package kv

// Op is what a command does.
type Op uint8

const (
	OpMark   Op = iota // marks the start of a term and sets the limits of its leader
	OpPut              // stores a value
	OpDelete           // removes a key
	OpOpen             // opens the session ID.Session
	OpRenew            // keeps it alive and notes ID.Acked
	OpClose            // forgets it and its answers
	opEnd
)

// CondKind is the kind of a precondition.
type CondKind uint8

const (
	CondNone    CondKind = iota
	CondExists           // If-Match: *
	CondAbsent           // If-None-Match: *
	CondMatch            // If-Match: the current revision is one of Revs
	CondNoMatch          // If-None-Match: it is none of Revs
	condEnd
)

// MaxRevs bounds how many entity tags one condition may name.
const MaxRevs = 32

// Condition must hold when the command is applied, or nothing is changed.
type Condition struct {
	Kind CondKind
	Revs []uint64
}

// Command is one change of the state. Its byte slices are not kept: Apply copies
// them.
type Command struct {
	Op     Op
	Key    []byte // of a put or a delete
	Value  []byte // of a put
	Cond   Condition
	ID     Identity // of a put or a delete; of the session commands only the session
	Limits Limits   // of a mark
}

// SessionID names a session. It is random, so that nobody can guess another's.
type SessionID [16]byte

// Scope is a name space of idempotency keys.
type Scope [16]byte

// Fingerprint tells a request from another one under the same idempotency key.
type Fingerprint [16]byte

// MaxIDKeyBytes is the longest idempotency key.
const MaxIDKeyBytes = 255

// Identity tells a write from every other one, so that a repeat is not executed:
// a number in a session, or an idempotency key, or both.
type Identity struct {
	Session  SessionID
	Sequence uint64 // number in the session, from 1; 0: the write has no session
	Acked    uint64 // of all numbers up to this one the answers have come

	Scope       Scope
	Key         []byte // idempotency key, 1 to MaxIDKeyBytes bytes; empty: the write has none
	Fingerprint Fingerprint
}
