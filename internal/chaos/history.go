package chaos

import (
	"math"
	"time"
)

// Kind is what an operation does to its register.
type Kind string

// The kinds.
const (
	Read   Kind = "read"
	Put    Kind = "put"
	Delete Kind = "delete"
	CAS    Kind = "cas" // a put that happens only where the register holds Expect
)

// Result is what a client knows of an operation.
type Result string

// The results. What was refused, and a read that failed, is no operation.
const (
	OK      Result = "ok"
	Failed  Result = "failed"  // of a CAS: the register held something else
	Unknown Result = "unknown" // it may have happened since Call, or may happen yet
)

// Op is one operation on a register. Times are since the round's begin, by one
// monotonic clock.
type Op struct {
	Client int           `json:"client"` // does one operation after the other
	At     string        `json:"at"`     // "lb", or the node that was asked
	Key    string        `json:"key"`
	Kind   Kind          `json:"kind"`
	Value  string        `json:"value,omitempty"`  // written, or read; empty is no value. None is written twice
	Expect string        `json:"expect,omitempty"` // of a CAS
	Result Result        `json:"result"`
	Call   time.Duration `json:"call_ns"`
	Return time.Duration `json:"return_ns"` // Never, where the result is unknown
}

// Never is the end of time.
const Never = time.Duration(math.MaxInt64)

// writes says that the operation has changed its register, or may have.
func (o Op) writes() bool { return o.Kind != Read && o.Result != Failed }

// byKey sorts a history into those of its registers.
func byKey(h []Op) map[string][]Op {
	keys := map[string][]Op{}
	for _, o := range h {
		keys[o.Key] = append(keys[o.Key], o)
	}
	return keys
}

// settle returns a history in which a write of unknown outcome whose value was
// read has ended by the first such read: nobody reads what is not there yet. It
// loses nothing, since no value is written twice, and spares the checker most of
// its search.
func settle(h []Op) []Op {
	type value struct{ key, value string }
	seen := map[value]time.Duration{}
	for _, o := range h {
		if o.Kind != Read {
			continue
		}
		v := value{o.Key, o.Value}
		if first, ok := seen[v]; !ok || o.Return < first {
			seen[v] = o.Return
		}
	}
	out := make([]Op, len(h))
	for i, o := range h {
		if o.Result == Unknown && o.Kind != Delete {
			if first, ok := seen[value{o.Key, o.Value}]; ok {
				o.Result, o.Return = OK, max(first, o.Call)
			}
		}
		out[i] = o
	}
	return out
}

// Finding is what is wrong with a history.
type Finding struct {
	Key  string
	What string
}
