package node

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// read stands in for the read of all levels until that is merged: it keeps
// MinIndex and no more.
func (n *Node) read(ctx context.Context, o ReadOptions, look func(f *fsm)) error {
	c := n.core.Load()
	if c == nil {
		return ErrStarting
	}
	if c.fsm.index.Load() < o.MinIndex {
		if err := n.awaitIndex(ctx, c, o.MinIndex); err != nil {
			return err
		}
	}
	n.counters.reads.Add(1)
	look(c.fsm)
	return nil
}

// readOptions stands in likewise.
func (n *Node) readOptions(h *fasthttp.RequestHeader, query []byte) (o ReadOptions, err error) {
	var args fasthttp.Args
	args.ParseBytes(query)
	if level := args.Peek("consistency"); len(level) > 0 {
		if o.Level, err = ParseLevel(string(level)); err != nil {
			return o, fmt.Errorf("%w: %w", ErrBadInput, err)
		}
	}
	if age := args.Peek("max_staleness"); len(age) > 0 {
		if o.MaxStaleness, err = time.ParseDuration(string(age)); err != nil {
			return o, fmt.Errorf("max_staleness: %w: %w", ErrBadInput, err)
		}
	}
	if arg := h.Peek(HeaderMinIndex); len(arg) > 0 {
		if o.MinIndex, err = strconv.ParseUint(string(arg), 10, 64); err != nil {
			return o, fmt.Errorf("%s: %w: %q: want a log index", HeaderMinIndex, ErrBadInput, arg)
		}
	}
	return o, nil
}
