package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// What a read was refused for, beside ErrNoLeader, ErrBehind, ErrStarting and
// ErrClosed.
var (
	ErrTooStale   = errors.New("this node cannot make sure that its state is as new as asked for")
	ErrWeakerRead = errors.New("weaker reads than this node's default are forbidden here")
)

// Value is what Get found. Its bytes must not be changed.
type Value struct {
	Value  []byte
	ETag   ETag
	Writes uint64 // writes to the key since it was created
	Found  bool
	Index  uint64 // log index of the state that was read
}

// Get reads a key, on any node, from a state that is new enough for o. Where that
// cannot be had within ReadTimeout, the error says why: ErrNoLeader, ErrBehind or
// ErrTooStale.
func (n *Node) Get(ctx context.Context, key []byte, o ReadOptions) (Value, error) {
	if err := checkKey(key); err != nil {
		return Value{}, err
	}
	began := time.Now()
	c, level, err := n.beginRead(ctx, o)
	switch {
	case err != nil:
		return Value{}, err
	case n.atOnce(level, o, began): // by far the most reads that are so ask for one key; nothing is allocated for them
		return c.fsm.value(key), nil
	}
	return n.getNew(ctx, c, level, key)
}

// getNew is Get of a state that has to be brought up to date.
func (n *Node) getNew(ctx context.Context, c *core, level Level, key []byte) (v Value, err error) {
	err = n.readNew(ctx, c, level, func(f *fsm) { v = f.value(key) })
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// value is what Get finds now.
func (f *fsm) value(key []byte) Value {
	it, ok, index := f.get(key)
	return Value{Value: it.Value, ETag: ETag(it.Rev), Writes: it.Writes, Found: ok, Index: index}
}

// read lets look see a state that is new enough for o. It may call look twice, and
// then the second look counts.
func (n *Node) read(ctx context.Context, o ReadOptions, look func(*fsm)) error {
	began := time.Now()
	c, level, err := n.beginRead(ctx, o)
	switch {
	case err != nil:
		return err
	case n.atOnce(level, o, began):
		look(c.fsm)
		return nil
	}
	return n.readNew(ctx, c, level, look)
}

// beginRead waits for the least index that a read asks for, and returns its level.
func (n *Node) beginRead(ctx context.Context, o ReadOptions) (*core, Level, error) {
	c := n.core.Load()
	if c == nil {
		return nil, 0, ErrStarting
	}
	level, err := n.level(o.Level)
	if err != nil {
		return nil, 0, err
	}
	if c.fsm.index.Load() < o.MinIndex {
		if c.raft.State() != raft.Leader {
			n.asks.join() // not waited for: the leader's answer tells raft here what is committed, before its next append does
		}
		if err := n.awaitIndex(ctx, c, o.MinIndex); err != nil {
			return nil, 0, err
		}
	}
	n.counters.reads.Add(1)
	return c, level, nil
}

// atOnce says whether a read that began then may see this node's state as it is.
func (n *Node) atOnce(level Level, o ReadOptions, began time.Time) bool {
	return level == Eventual && (o.MaxStaleness == 0 || n.fresh.covers(began.Add(-o.MaxStaleness))) || staleReads()
}

// readNew is read of a state that has to be brought up to date.
func (n *Node) readNew(ctx context.Context, c *core, level Level, look func(*fsm)) error {
	if level == Lease && n.leased(ctx, c, look) {
		n.counters.leased.Add(1)
		return nil
	}
	if err := n.confirmed(ctx, c); err != nil {
		if level == Eventual && !errors.Is(err, ErrClosed) { // another node can tell
			return fmt.Errorf("%w: %w", ErrTooStale, err)
		}
		return err
	}
	look(c.fsm)
	return nil
}

// level is the level that a read gets which asks for one.
func (n *Node) level(asked Level) (Level, error) {
	switch {
	case asked == LevelDefault:
		return n.cfg.ReadLevel, nil
	case asked > n.cfg.ReadLevel && !n.cfg.WeakerReads:
		return 0, fmt.Errorf("%w: %v was asked for, and this is %v", ErrWeakerRead, asked, n.cfg.ReadLevel)
	}
	return asked, nil
}

func (n *Node) awaitIndex(ctx context.Context, c *core, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ReadTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)() // nothing may come any more, and Close waits
	if err := c.fsm.await(ctx, index); err != nil {
		if n.ctx.Err() != nil {
			return ErrClosed
		}
		return fmt.Errorf("%w: index %d, applied %d: %w", ErrBehind, index, c.fsm.index.Load(), err)
	}
	return nil
}
