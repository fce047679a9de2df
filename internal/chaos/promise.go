package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Promise is what reads are asked with, and judged by.
type Promise struct {
	Level string // linearizable, lease or eventual
	// MaxStaleness is the age that eventual reads accept. Where it is 0 they name
	// none, and are judged as if they had promised everything: a harness that finds
	// nothing wrong with them would find nothing.
	MaxStaleness time.Duration
}

// levels are the names of those that nodes know.
var levels = []string{"linearizable", "lease", "eventual"}

// Validate names what cannot be asked for.
func (p Promise) Validate() error {
	switch {
	case !slices.Contains(levels, p.Level):
		return fmt.Errorf("level %q: want %s", p.Level, strings.Join(levels, ", "))
	case p.MaxStaleness < 0:
		return fmt.Errorf("staleness %v: want at least 0", p.MaxStaleness)
	case p.MaxStaleness > 0 && p.Level != "eventual":
		return fmt.Errorf("staleness %v at level %s: only eventual reads may be stale", p.MaxStaleness, p.Level)
	}
	return nil
}

// String is the promise in a few words.
func (p Promise) String() string {
	if p.MaxStaleness > 0 {
		return fmt.Sprintf("%s, %v", p.Level, p.MaxStaleness)
	}
	return p.Level
}

// query asks for it.
func (p Promise) query() string {
	if p.MaxStaleness > 0 {
		return fmt.Sprintf("?consistency=%s&max_staleness=%v", p.Level, p.MaxStaleness)
	}
	return "?consistency=" + p.Level
}

// strong asks for reads that must see all that was acknowledged before them: at
// the level of the round where that promises so much.
func (p Promise) strong() string {
	if p.Level == "eventual" {
		return "?consistency=linearizable"
	}
	return p.query()
}

// isDefault says that reads which name no level have this one.
func (p Promise) isDefault() bool { return p.Level == "linearizable" }

// Lifetimes of the identities of writes. Those of keys are longer than a client
// needs to be certain of a write.
const (
	sessionLife = 3 * time.Second
	keyLife     = 20 * time.Second
)

// nodeArgs are the flags that nodes need for it. Leases are granted only where no
// voter would break its patience for a leader that seems to have crashed.
func (p Promise) nodeArgs() []string {
	args := []string{"--session-timeout", sessionLife.String(), "--idempotency-window", keyLife.String()}
	if p.Level == "lease" {
		args = append(args, "--crash-detection=false")
	}
	return args
}

// check judges a history of registers; nil where the promise was kept. Reads that may be stale
// have a checker of their own, and writes are linearizable in any case.
func (p Promise) check(h []Op, patience time.Duration) *Finding {
	h = partOf(h, ofRegisters)
	if p.MaxStaleness == 0 {
		return CheckRegisters(h, patience)
	}
	if f := CheckStaleness(h, p.MaxStaleness); f != nil {
		return f
	}
	return CheckRegisters(only(settle(h), func(o Op) bool { return o.Kind != Read }), patience)
}
