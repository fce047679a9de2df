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

// Write is a change of one key.
type Write struct {
	Key      []byte
	Value    []byte
	Delete   bool // removes the key, whether it is there or not, instead of storing Value
	Cond     Condition
	Identity Identity
}

// Result is the answer to a write that was decided.
type Result struct {
	Index  uint64 // log index of the write; a read with it as MinIndex sees the write
	Failed bool   // the condition did not hold: nothing was changed
	// ETag is the value's after a Put, one of its own after a Delete, and the
	// current value's (0: there is none) where the condition failed.
	ETag     ETag
	Writes   uint64 // writes to the key since it was created, this one included
	Found    bool   // the key was there before
	Replayed bool   // a repeat by its Identity: it was not executed, and this is the first one's answer
}

// Put stores a value. It returns once the write is on disk on a majority and
// applied here. An error wraps ErrNotApplied or ErrUnknown, and why; key and
// value may be used again when it returns.
func (n *Node) Put(ctx context.Context, key, value []byte, cond Condition) (Result, error) {
	return n.Do(ctx, Write{Key: key, Value: value, Cond: cond})
}

// Delete removes a key, also one that is not there. Otherwise it is as Put.
func (n *Node) Delete(ctx context.Context, key []byte, cond Condition) (Result, error) {
	return n.Do(ctx, Write{Key: key, Delete: true, Cond: cond})
}

// Do is Put or Delete, of a write that may have an identity. Where the identity is
// why it was not executed, the error is one of ErrSessionUnknown,
// ErrSequenceAnswered, ErrSequenceBeyondWindow, ErrIdentitiesFull and
// ErrKeyReused, and Result has Index and Replayed. The first two are
// ErrUnknown: this copy was not executed, but an earlier one may have been.
func (n *Node) Do(ctx context.Context, w Write) (Result, error) {
	var cmd kv.Command
	err := n.command(&w, &cmd)
	var res kv.Result
	if err == nil {
		res, err = n.propose(ctx, &cmd)
	}
	return n.decided(&res, err)
}

// command makes a write the command that stands for it in the log.
func (n *Node) command(w *Write, cmd *kv.Command) error {
	*cmd = kv.Command{Op: kv.OpPut, Key: w.Key, Value: w.Value, Cond: w.Cond.c}
	if w.Delete {
		cmd.Op, cmd.Value = kv.OpDelete, nil
	}
	if err := n.checkWrite(cmd); err != nil {
		return notApplied(err)
	}
	if err := w.Identity.check(); err != nil {
		return notApplied(err)
	}
	w.Identity.identify(cmd)
	spoilIdentity(cmd)
	return nil
}

// decided is what Do returns of a write that came to this end, which it counts.
func (n *Node) decided(r *kv.Result, err error) (Result, error) {
	var res Result
	if err == nil {
		res, err = n.result(r)
	}
	switch {
	case err == nil:
		n.counters.writes.Add(1)
	case errors.Is(err, ErrNotApplied):
		n.counters.writesRefused.Add(1)
	default:
		n.counters.writesInDoubt.Add(1)
	}
	if res.Replayed {
		n.counters.replayed.Add(1)
	}
	return res, err
}

// result is what the state machine said of a write.
func (n *Node) result(res *kv.Result) (Result, error) {
	switch err := statusError(res.Status); res.Status {
	case kv.StatusSessionUnknown, kv.StatusSequenceAnswered:
		return Result{Index: res.Index}, unknown(err)
	case kv.StatusFull, kv.StatusKeyReused, kv.StatusBeyondWindow:
		n.countFull(res.Status)
		return Result{Index: res.Index, Replayed: res.Replayed}, notApplied(err)
	}
	return Result{
		Index: res.Index, Failed: res.Status == kv.StatusPrecondition,
		ETag: ETag(res.Rev), Writes: res.Writes, Found: res.Found, Replayed: res.Replayed,
	}, nil
}

// propose puts a command in the log and waits until it is applied here. An error
// wraps ErrNotApplied or ErrUnknown.
func (n *Node) propose(ctx context.Context, cmd *kv.Command) (kv.Result, error) {
	c, err := n.writable()
	if err != nil {
		return kv.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.WriteTimeout)
	defer cancel()
	return c.proposer.propose(ctx, cmd)
}

// writable says why no write can be taken now, before the log: raft would say the same,
// later.
func (n *Node) writable() (*core, error) {
	c := n.core.Load()
	switch {
	case n.closing.Load():
		return nil, notApplied(ErrClosed)
	case c == nil:
		return nil, notApplied(ErrStarting)
	case c.raft.State() != raft.Leader:
		return nil, notApplied(n.notLeader(c))
	}
	if err := c.store.watch.check(); err != nil {
		return nil, notApplied(noLeaderSince(err))
	}
	return c, nil
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
