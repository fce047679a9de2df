package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
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
		{kv.Command{Op: kv.OpNoop}, kv.Result{}, "4"},
		{put("a", "5"), kv.Result{Rev: 12, Writes: 2, Found: true}, "5"},
	} {
		got := m.Apply(uint64(i+1), 1, []kv.Command{step.cmd}, nil)[0]
		if got != step.want {
			t.Errorf("step %d: got %+v, want %+v", i, got, step.want)
		}
		it, ok := m.Get("a")
		if then := string(it.Value); (ok && then != step.then) || (!ok && step.then != "-") {
			t.Errorf("step %d: value %q (%v), want %q", i, then, ok, step.then)
		}
	}
}

func TestApplyKeepsCopies(t *testing.T) {
	t.Parallel()
	m := new(kv.Machine)
	c := put("key", "value")
	m.Apply(1, 1, []kv.Command{c}, nil)
	c.Key[0], c.Value[0] = 'X', 'X'
	if it, ok := m.Get("key"); !ok || string(it.Value) != "value" {
		t.Errorf("the caller's buffer shows through: %q %v", it.Value, ok)
	}
}

func TestViewDoesNotMove(t *testing.T) {
	t.Parallel()
	m := new(kv.Machine)
	for i := range 1000 {
		m.Apply(uint64(i+1), 1, []kv.Command{put(fmt.Sprint(i), "old")}, nil)
	}
	v := m.View()
	before := v.Hash()
	for i := range 1000 {
		m.Apply(uint64(i+1001), 2, []kv.Command{put(fmt.Sprint(i), "new"), del(fmt.Sprint(i + 1))}, nil)
	}
	if v.Hash() != before {
		t.Error("a view changed while the machine went on")
	}
	if m.View().Hash() == before {
		t.Error("the hash does not see the difference")
	}
}

// randomEntries is a long history over few keys, so that conditions bite.
func randomEntries(seed uint64) [][]byte {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var out [][]byte
	for range 300 {
		cmds := make([]kv.Command, 1+rnd.IntN(5))
		for i := range cmds {
			cond := kv.Condition{Kind: kv.CondKind(rnd.IntN(5))}
			if cond.Kind == kv.CondMatch || cond.Kind == kv.CondNoMatch {
				cond.Revs = []uint64{rnd.Uint64N(900), rnd.Uint64N(900)}
			}
			key := fmt.Sprint("k", rnd.IntN(20))
			if rnd.IntN(4) == 0 {
				cmds[i] = del(key, cond)
			} else {
				cmds[i] = put(key, fmt.Sprint(rnd.Uint64()), cond)
			}
		}
		b := kv.AppendEntry(nil, len(cmds))
		for i := range cmds {
			b = kv.AppendCommand(b, &cmds[i])
		}
		out = append(out, b)
	}
	return out
}

func applyAll(t *testing.T, m *kv.Machine, entries [][]byte) {
	t.Helper()
	for _, e := range entries {
		cmds, err := kv.DecodeEntry(e, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(m.Index()+1, 1, cmds, nil)
	}
}

// Design, section 10, promise 4: the same log gives the same state, also where
// a snapshot stands in for its beginning.
func TestSameLogSameState(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		entries := randomEntries(seed)
		straight := new(kv.Machine)
		applyAll(t, straight, entries)
		for _, cut := range []int{0, 1, 150, 300} {
			first := new(kv.Machine)
			applyAll(t, first, entries[:cut])
			var snap bytes.Buffer
			if _, err := first.View().WriteTo(&snap); err != nil {
				t.Fatal(err)
			}
			second, err := kv.ReadSnapshot(&snap)
			if err != nil {
				t.Fatal(err)
			}
			applyAll(t, second, entries[cut:])
			if second.View().Hash() != straight.View().Hash() {
				t.Errorf("seed %d: snapshot after %d entries gives another state", seed, cut)
			}
		}
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	t.Parallel()
	c := put("key", "value", kv.Condition{Kind: kv.CondMatch, Revs: []uint64{300}})
	good := kv.AppendCommand(kv.AppendEntry(nil, 1), &c)
	for cut := range good {
		if _, err := kv.DecodeEntry(good[:cut], nil); !errors.Is(err, kv.ErrFormat) {
			t.Errorf("first %d bytes: %v", cut, err)
		}
	}
	if _, err := kv.DecodeEntry(append(bytes.Clone(good), 0), nil); !errors.Is(err, kv.ErrFormat) {
		t.Errorf("trailing byte: %v", err)
	}
	if _, err := kv.DecodeEntry([]byte{1, 0x81, 0x00}, nil); !errors.Is(err, kv.ErrFormat) {
		t.Errorf("overlong number: %v", err)
	}
	if _, err := kv.DecodeEntry([]byte{2, 0}, nil); !errors.Is(err, kv.ErrFormat) {
		t.Errorf("other format: %v", err)
	}
}

func TestSnapshotRefusesDamage(t *testing.T) {
	t.Parallel()
	m := new(kv.Machine)
	m.Apply(7, 2, []kv.Command{put("a", "1"), put("b", "2")}, nil)
	var buf bytes.Buffer
	if _, err := m.View().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	good := buf.Bytes()
	for cut := range good {
		if _, err := kv.ReadSnapshot(bytes.NewReader(good[:cut])); !errors.Is(err, kv.ErrFormat) {
			t.Errorf("first %d bytes: %v", cut, err)
		}
	}
	if _, err := kv.ReadSnapshot(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, kv.ErrFormat) {
		t.Errorf("trailing byte: %v", err)
	}
	back, err := kv.ReadSnapshot(bytes.NewReader(good))
	if err != nil || back.Index() != 7 || back.Term() != 2 || back.Len() != 2 {
		t.Errorf("got %+v, %v", back, err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range randomEntries(1)[:20] {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cmds, err := kv.DecodeEntry(data, nil)
		if err != nil {
			return
		}
		b := kv.AppendEntry(nil, len(cmds))
		for i := range cmds {
			b = kv.AppendCommand(b, &cmds[i])
		}
		if !bytes.Equal(b, data) {
			t.Errorf("%x decodes and encodes to %x", data, b)
		}
		new(kv.Machine).Apply(1, 1, cmds, nil)
	})
}

func FuzzReadSnapshot(f *testing.F) {
	m := new(kv.Machine)
	m.Apply(7, 2, []kv.Command{put("a", "1"), put("b", "2")}, nil)
	var buf bytes.Buffer
	if _, err := m.View().WriteTo(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := kv.ReadSnapshot(bytes.NewReader(data)); err == nil {
			m.View().Hash()
		}
	})
}
