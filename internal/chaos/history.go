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
	CAS    Kind = "cas"   // a put that happens only where the key holds Expect
	Scan   Kind = "scan"  // of all keys that begin with Key
	Again  Kind = "again" // a put that was acknowledged, asked for again under its identity
)

// Result is what a client knows of an operation.
type Result string

// The results. What was refused, and a read that failed, is no operation.
const (
	OK      Result = "ok"
	Failed  Result = "failed"  // of a CAS: the key held something else; of an Again: its identity is over
	Unknown Result = "unknown" // it may have happened since Call, or may happen yet
)

// Op is one operation on a key. Times are since the round's begin, by one
// monotonic clock.
type Op struct {
	Workload string        `json:"workload,omitempty"` // registers where it is empty
	Client   int           `json:"client"`             // does one operation after the other
	At       string        `json:"at"`                 // "lb", or the node that was asked
	Key      string        `json:"key"`
	Kind     Kind          `json:"kind"`
	Value    string        `json:"value,omitempty"`  // written, or read; empty is no value. None is written twice
	Expect   string        `json:"expect,omitempty"` // of a CAS
	Result   Result        `json:"result"`
	Call     time.Duration `json:"call_ns"`
	Return   time.Duration `json:"return_ns"` // Never, where the result is unknown

	// What only some workloads look at.
	Tag      string   `json:"tag,omitempty"`    // ETag of the answer
	Writes   uint64   `json:"writes,omitempty"` // to the key, as the answer says
	Replayed bool     `json:"replayed,omitempty"`
	Amount   int      `json:"amount,omitempty"` // that a transfer moves to the key
	Pages    [][]Item `json:"pages,omitempty"`  // of a Scan, in their order; each is one state
}

// Item is a key that a scan has found.
type Item struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Writes uint64 `json:"writes"`
}

// Never is the end of time.
const Never = time.Duration(math.MaxInt64)

// writes says that the operation has changed its key, or may have.
func (o Op) writes() bool {
	return (o.Kind == Put || o.Kind == Delete || o.Kind == CAS) && o.Result != Failed
}

// partOf is a workload's part of a history.
func partOf(h []Op, workload string) []Op {
	return only(h, func(o Op) bool { return o.Workload == workload })
}

// only is what of a history is wanted.
func only(h []Op, want func(Op) bool) []Op {
	var out []Op
	for _, o := range h {
		if want(o) {
			out = append(out, o)
		}
	}
	return out
}

// byKey sorts a history into those of its keys.
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
	// Register says that porcupine can draw it.
	Register bool
}

// picture is the key to draw, "" where there is none.
func (f *Finding) picture() string {
	if !f.Register {
		return ""
	}
	return f.Key
}
