package node

import (
	"context"
	"fmt"
)

// Value is what Get found. Its bytes must not be changed.
type Value struct {
	Value  []byte
	ETag   ETag
	Writes uint64 // writes to the key since it was created
	Found  bool
	Index  uint64 // log index of the state that was read
}

// Get reads a key from this node's own state: committed, but possibly behind the
// leader's. With a minIndex it waits, at most ReadTimeout, until that log index
// is applied here (ErrBehind): with the Index of a Put, a client reads its own
// write on any node.
func (n *Node) Get(ctx context.Context, key []byte, minIndex uint64) (Value, error) {
	if err := checkKey(key); err != nil {
		return Value{}, err
	}
	c := n.core.Load()
	if c == nil {
		return Value{}, ErrStarting
	}
	if c.fsm.index.Load() < minIndex {
		if err := n.awaitIndex(ctx, c, minIndex); err != nil {
			return Value{}, err
		}
	}
	n.counters.reads.Add(1)
	it, ok, index := c.fsm.get(string(key))
	return Value{Value: it.Value, ETag: ETag(it.Rev), Writes: it.Writes, Found: ok, Index: index}, nil
}

func (n *Node) awaitIndex(ctx context.Context, c *core, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ReadTimeout)
	defer cancel()
	if err := c.fsm.await(ctx, index); err != nil {
		return fmt.Errorf("%w: index %d, applied %d: %w", ErrBehind, index, c.fsm.index.Load(), err)
	}
	return nil
}
