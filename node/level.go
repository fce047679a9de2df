package node

import (
	"fmt"
	"time"
)

// Level is what a read promises to see.
type Level uint8

const (
	// LevelDefault is Config.ReadLevel.
	LevelDefault Level = iota
	// Linearizable sees every write that was acknowledged, anywhere, before the read
	// began (Herlihy and Wing, 1990). It rests on no clock.
	Linearizable
	// Lease promises the same as long as clocks run at about the same speed, and
	// costs no message where the leader's lease holds. Elsewhere it is Linearizable.
	Lease
	// Eventual sees a committed state of this node's, however old, unless
	// ReadOptions.MaxStaleness bounds its age.
	Eventual
)

// levelNames are what clients and settings call them.
var levelNames = map[string]Level{"linearizable": Linearizable, "lease": Lease, "eventual": Eventual}

// ParseLevel reads a level's name.
func ParseLevel(name string) (Level, error) {
	if l, ok := levelNames[name]; ok {
		return l, nil
	}
	return 0, fmt.Errorf("consistency %q: want linearizable, lease or eventual", name)
}

// String implements fmt.Stringer.
func (l Level) String() string {
	for name, level := range levelNames {
		if level == l {
			return name
		}
	}
	return "default"
}

// ReadOptions say which states a read may see. The zero value is the node's
// default level.
type ReadOptions struct {
	Level Level
	// MinIndex makes the read wait, at most Config.ReadTimeout, until this log index
	// is applied here (ErrBehind): with the Index of a Result, a client reads its own
	// write on any node.
	MinIndex uint64
	// MaxStaleness bounds the age of what an Eventual read sees: every write that was
	// acknowledged longer ago is in it (ErrTooStale). 0 is no bound.
	MaxStaleness time.Duration
}
