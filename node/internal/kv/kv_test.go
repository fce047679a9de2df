package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

func put(key, value string, cond ...kv.Condition) kv.Command {
	c := kv.Command{Op: kv.OpPut, Key: []byte(key), Value: []byte(value)}
	if len(cond) > 0 {
		c.Cond = cond[0]
	}
	return c
}

func del(key string, cond ...kv.Condition) kv.Command {
	c := put(key, "", cond...)
	c.Op, c.Value = kv.OpDelete, nil
	return c
}

// apply applies one more entry, of the first term.
func apply(m *kv.Machine, cmds ...kv.Command) []kv.Result {
	return m.Apply(m.Index()+1, 1, &kv.Entry{Term: 1, Commands: cmds}, nil)
}

// encode is an entry as the log holds it.
func encode(e *kv.Entry) []byte {
	b := kv.AppendEntry(nil, e.Term, e.Elapsed, len(e.Commands))
	for i := range e.Commands {
		b = kv.AppendCommand(b, &e.Commands[i])
	}
	return b
}

func snapshot(t testing.TB, m *kv.Machine) []byte {
	t.Helper()
	var buf bytes.Buffer
	if _, err := m.View().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestConditions(t *testing.T) {
	t.Parallel()
	exists, absent := kv.Condition{Kind: kv.CondExists}, kv.Condition{Kind: kv.CondAbsent}
	match := func(revs ...uint64) kv.Condition { return kv.Condition{Kind: kv.CondMatch, Revs: revs} }
	noMatch := func(revs ...uint64) kv.Condition { return kv.Condition{Kind: kv.CondNoMatch, Revs: revs} }
	m := new(kv.Machine)
	for i, step := range []struct {
		cmd  kv.Command
		want kv.Result
		then string // value afterwards; "-" for none
	}{
		{put("a", "1", exists), kv.Result{Status: kv.StatusPrecondition}, "-"},
		{put("a", "1", absent), kv.Result{Rev: 2, Writes: 1}, "1"},
		{put("a", "2", absent), kv.Result{Status: kv.StatusPrecondition, Rev: 2, Writes: 1, Found: true}, "1"},
		{put("a", "2", match(1)), kv.Result{Status: kv.StatusPrecondition, Rev: 2, Writes: 1, Found: true}, "1"},
		{put("a", "2", match(1, 2)), kv.Result{Rev: 5, Writes: 2, Found: true}, "2"},
		{put("a", "3", noMatch(5)), kv.Result{Status: kv.StatusPrecondition, Rev: 5, Writes: 2, Found: true}, "2"},
		{put("a", "3", noMatch(4)), kv.Result{Rev: 7, Writes: 3, Found: true}, "3"},
		{del("a", match(6)), kv.Result{Status: kv.StatusPrecondition, Rev: 7, Writes: 3, Found: true}, "3"},
		{del("a", match(7)), kv.Result{Rev: 9, Writes: 4, Found: true}, "-"},
		{del("a"), kv.Result{Rev: 10, Writes: 1}, "-"},
		{put("a", "4"), kv.Result{Rev: 11, Writes: 1}, "4"},
		{kv.Command{Op: kv.OpMark}, kv.Result{}, "4"},
		{put("a", "5"), kv.Result{Rev: 12, Writes: 2, Found: true}, "5"},
	} {
		got := apply(m, step.cmd)[0]
		step.want.Index = uint64(i + 1)
		if got != step.want {
			t.Errorf("step %d: got %+v, want %+v", i, got, step.want)
		}
		it, ok := m.Get([]byte("a"))
		if then := string(it.Value); (ok && then != step.then) || (!ok && step.then != "-") {
			t.Errorf("step %d: value %q (%v), want %q", i, then, ok, step.then)
		}
	}
}

func TestApplyKeepsCopies(t *testing.T) {
	t.Parallel()
	m := new(kv.Machine)
	c := put("key", "value")
	apply(m, c)
	c.Key[0], c.Value[0] = 'X', 'X'
	if it, ok := m.Get([]byte("key")); !ok || string(it.Value) != "value" {
		t.Errorf("the caller's buffer shows through: %q %v", it.Value, ok)
	}
}

func TestViewDoesNotMove(t *testing.T) {
	t.Parallel()
	m := new(kv.Machine)
	for i := range 1000 {
		apply(m, put(fmt.Sprint(i), "old"))
	}
	v := m.View()
	before := v.Hash()
	for i := range 1000 {
		apply(m, put(fmt.Sprint(i), "new"), del(fmt.Sprint(i+1)))
	}
	if v.Hash() != before {
		t.Error("a view changed while the machine went on")
	}
	if m.View().Hash() == before {
		t.Error("the hash does not see the difference")
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	t.Parallel()
	refused := func(what string, data []byte) {
		t.Helper()
		if err := kv.DecodeEntry(data, new(kv.Entry)); !errors.Is(err, kv.ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := put("key", "value", kv.Condition{Kind: kv.CondMatch, Revs: []uint64{300}})
	c.ID = kv.Identity{Sequence: 300, Acked: 200, Key: []byte("k")}
	for what, cmds := range map[string][]kv.Command{
		"write": {c}, "mark": {{Op: kv.OpMark, Limits: kv.DefaultLimits()}}, "session": {{Op: kv.OpRenew, ID: kv.Identity{Acked: 300}}},
	} {
		good := encode(&kv.Entry{Term: 300, Elapsed: 1 << 40, Commands: cmds})
		for cut := range good {
			refused(fmt.Sprintf("%s, its first %d bytes", what, cut), good[:cut])
		}
		refused(what+" and a byte", append(bytes.Clone(good), 0))
	}
	refused("an overlong number", []byte{2, 0x81, 0x00, 0, 0})
	refused("the format before", []byte{1, 0})
	refused("an unknown operation", []byte{2, 1, 0, 1, 6})
	refused("an unknown condition", []byte{2, 1, 0, 1, byte(kv.OpDelete), 5, 0, 1, 'k'})
	refused("an unknown identity", []byte{2, 1, 0, 1, byte(kv.OpDelete), 0, 4, 1, 'k'})
	c.ID.Key = bytes.Repeat([]byte("k"), kv.MaxIDKeyBytes+1)
	refused("a long idempotency key", encode(&kv.Entry{Commands: []kv.Command{c}}))
}

// full is a machine with something in every table.
func full() *kv.Machine {
	m := new(kv.Machine)
	m.Advance(6, 2)
	a, b := put("a", "1"), put("b", "2")
	a.ID = kv.Identity{Session: kv.SessionID{1}, Sequence: 5, Acked: 2, Key: []byte("x")}
	b.ID = kv.Identity{Session: kv.SessionID{2}, Sequence: 1, Key: []byte("y"), Scope: kv.Scope{3}}
	m.Apply(7, 2, &kv.Entry{Term: 2, Elapsed: 9, Commands: []kv.Command{
		{Op: kv.OpMark, Limits: kv.DefaultLimits()},
		{Op: kv.OpOpen, ID: kv.Identity{Session: kv.SessionID{1}}}, {Op: kv.OpOpen, ID: kv.Identity{Session: kv.SessionID{2}}}, a, b,
	}}, nil)
	return m
}

func TestSnapshotRefusesDamage(t *testing.T) {
	t.Parallel()
	good := snapshot(t, full())
	for cut := range good {
		if _, err := kv.ReadSnapshot(bytes.NewReader(good[:cut])); !errors.Is(err, kv.ErrFormat) {
			t.Errorf("first %d bytes: %v", cut, err)
		}
	}
	if _, err := kv.ReadSnapshot(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, kv.ErrFormat) {
		t.Errorf("trailing byte: %v", err)
	}
	// A changed byte is refused, or makes another state: none is quietly dropped.
	for i := range good {
		bad := bytes.Clone(good)
		bad[i]++
		m, err := kv.ReadSnapshot(bytes.NewReader(bad))
		if err == nil && bytes.Equal(snapshot(t, m), good) {
			t.Errorf("byte %d of %d does not matter", i, len(good))
		}
	}
	back, err := kv.ReadSnapshot(bytes.NewReader(good))
	if err != nil || back.Index() != 7 || back.Term() != 2 || back.Len() != 2 || back.Usage() != full().Usage() {
		t.Errorf("got %+v, %v", back, err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range history(1, 20) {
		f.Add(e.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e kv.Entry
		if err := kv.DecodeEntry(data, &e); err != nil {
			return
		}
		if b := encode(&e); !bytes.Equal(b, data) {
			t.Errorf("%x decodes and encodes to %x", data, b)
		}
		// A node that restored a snapshot makes of the entry what the others do, now
		// and of the snapshot after it.
		m := full()
		restored, err := kv.ReadSnapshot(bytes.NewReader(snapshot(t, m)))
		if err != nil {
			t.Fatal(err)
		}
		here, there := m.Apply(8, e.Term, &e, nil), restored.Apply(8, e.Term, &e, nil)
		if !reflect.DeepEqual(here, there) || m.View().Hash() != restored.View().Hash() {
			t.Errorf("%x does %+v, and %+v after a restore", data, here, there)
		}
		again, err := kv.ReadSnapshot(bytes.NewReader(snapshot(t, m)))
		if err != nil || again.View().Hash() != m.View().Hash() {
			t.Errorf("%x makes a state that cannot be restored: %v", data, err)
		}
	})
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add(snapshot(f, new(kv.Machine)))
	f.Add(snapshot(f, full()))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := kv.ReadSnapshot(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := kv.ReadSnapshot(bytes.NewReader(snapshot(t, m)))
		if err != nil || again.View().Hash() != m.View().Hash() {
			t.Errorf("it is not what it says when it is written again: %v", err)
		}
	})
}
