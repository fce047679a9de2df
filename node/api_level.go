package node

import (
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// What a read says of the state that it wants to see: the first two in the query or
// as headers, the query counts where both are there.
const (
	argConsistency     = "consistency"
	argMaxStaleness    = "max_staleness"
	HeaderConsistency  = "Dengine-Consistency"   // request: linearizable, lease or eventual
	HeaderMaxStaleness = "Dengine-Max-Staleness" // request: a duration, 500ms for example
)

// readOptions reads what a request says of the state that it wants to see.
func readOptions(h *fasthttp.RequestHeader, query []byte) (o ReadOptions, err error) {
	level, age := h.Peek(HeaderConsistency), h.Peek(HeaderMaxStaleness)
	if len(query) > 0 {
		args := fasthttp.AcquireArgs()
		defer fasthttp.ReleaseArgs(args) // level and age are in its memory
		args.ParseBytes(query)
		if arg := args.Peek(argConsistency); len(arg) > 0 {
			level = arg
		}
		if arg := args.Peek(argMaxStaleness); len(arg) > 0 {
			age = arg
		}
	}
	if o, err = parseOptions(level, age); err != nil {
		return o, err
	}
	if arg := h.Peek(HeaderMinIndex); len(arg) > 0 {
		if o.MinIndex, err = strconv.ParseUint(string(arg), 10, 64); err != nil {
			return o, fmt.Errorf("%s: %w: %q: want a log index", HeaderMinIndex, ErrBadInput, arg)
		}
	}
	return o, nil
}

func parseOptions(level, age []byte) (o ReadOptions, err error) {
	if len(level) > 0 {
		known := false
		if o.Level, known = levelNames[string(level)]; !known {
			_, err = ParseLevel(string(level))
			return o, fmt.Errorf("%w: %w", ErrBadInput, err)
		}
	}
	if len(age) > 0 {
		o.MaxStaleness, err = time.ParseDuration(string(age))
		if err != nil || o.MaxStaleness <= 0 {
			return o, fmt.Errorf("%s: %w: %q: want a duration above zero, 500ms for example", argMaxStaleness, ErrBadInput, age)
		}
	}
	return o, nil
}
