package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/raft"
)

// Condition must hold when a write is applied, or nothing is changed and the
// write's Result says Failed. The zero value always holds. See RFC 9110, 13.1.
type Condition struct{ c kv.Condition }

// IfExists holds where the key is there.
func IfExists() Condition { return Condition{kv.Condition{Kind: kv.CondExists}} }

// IfAbsent holds where the key is not there.
func IfAbsent() Condition { return Condition{kv.Condition{Kind: kv.CondAbsent}} }

// IfMatch holds where the key's ETag is one of tags (at most 32).
func IfMatch(tags ...ETag) Condition { return tagged(kv.CondMatch, tags) }

// IfNoneMatch holds where the key's ETag is none of tags (at most 32), or the key
// is not there.
func IfNoneMatch(tags ...ETag) Condition { return tagged(kv.CondNoMatch, tags) }

func tagged(kind kv.CondKind, tags []ETag) Condition {
	c := kv.Condition{Kind: kind, Revs: make([]uint64, len(tags))}
	for i, t := range tags {
		c.Revs[i] = uint64(t)
	}
	return Condition{c}
}

// Result is the answer to a write that was decided.
type Result struct {
	Index  uint64 // log index of the write; a read with it as MinIndex sees the write
	Failed bool   // the condition did not hold: nothing was changed
	// ETag is the value's after a Put, one of its own after a Delete, and the
	// current value's (0: there is none) where the condition failed.
	ETag   ETag
	Writes uint64 // writes to the key since it was created, this one included
	Found  bool   // the key was there before
}

// Put stores a value. It returns once the write is on disk on a majority and
// applied here. An error wraps ErrNotApplied or ErrUnknown, and why; key and
// value may be used again when it returns.
func (n *Node) Put(ctx context.Context, key, value []byte, cond Condition) (Result, error) {
	return n.write(ctx, kv.Command{Op: kv.OpPut, Key: key, Value: value, Cond: cond.c})
}

// Delete removes a key, also one that is not there. Otherwise it is as Put.
func (n *Node) Delete(ctx context.Context, key []byte, cond Condition) (Result, error) {
	return n.write(ctx, kv.Command{Op: kv.OpDelete, Key: key, Cond: cond.c})
}

func (n *Node) write(ctx context.Context, cmd kv.Command) (Result, error) {
	res, err := n.decide(ctx, cmd)
	switch {
	case err == nil:
		n.counters.writes.Add(1)
	case errors.Is(err, ErrNotApplied):
		n.counters.writesRefused.Add(1)
	default:
		n.counters.writesInDoubt.Add(1)
	}
	return res, err
}

func (n *Node) decide(ctx context.Context, cmd kv.Command) (Result, error) {
	if err := n.checkWrite(&cmd); err != nil {
		return Result{}, notApplied(err)
	}
	c := n.core.Load()
	switch {
	case n.closing.Load():
		return Result{}, notApplied(ErrClosed)
	case c == nil:
		return Result{}, notApplied(ErrStarting)
	case c.raft.State() != raft.Leader:
		// Refused here, before the log: raft would say the same, later.
		return Result{}, notApplied(n.notLeader(c))
	}
	if err := c.store.watch.check(); err != nil {
		return Result{}, notApplied(noLeaderSince(err))
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.WriteTimeout)
	defer cancel()
	res, index, err := c.proposer.propose(ctx, &cmd)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Index: index, Failed: res.Status == kv.StatusPrecondition,
		ETag: ETag(res.Rev), Writes: res.Writes, Found: res.Found,
	}, nil
}

func (n *Node) checkWrite(c *kv.Command) error {
	if err := checkKey(c.Key); err != nil {
		return err
	}
	if len(c.Value) > n.cfg.MaxValueBytes {
		return fmt.Errorf("value: %w: %d bytes, at most %d", ErrTooLarge, len(c.Value), n.cfg.MaxValueBytes)
	}
	if len(c.Cond.Revs) > kv.MaxRevs {
		return fmt.Errorf("condition: %w: %d entity tags, at most %d", ErrTooLarge, len(c.Cond.Revs), kv.MaxRevs)
	}
	return nil
}

func checkKey(key []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("key: %w: it is empty", ErrBadInput)
	}
	if len(key) > MaxKeyBytes {
		return fmt.Errorf("key: %w: %d bytes, at most %d", ErrTooLarge, len(key), MaxKeyBytes)
	}
	return nil
}

func (n *Node) notLeader(c *core) error {
	if _, id := c.raft.LeaderWithID(); id == "" || string(id) == n.cfg.ID {
		return ErrNoLeader
	}
	return ErrNotLeader
}
