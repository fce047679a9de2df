package kv_test

import (
	"fmt"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// BenchmarkApply is what one write costs in the state machine, by the identity
// that it has.
func BenchmarkApply(b *testing.B) {
	const keys, session = 10_000, 7
	cmds := make([]kv.Command, keys)
	for i := range cmds {
		cmds[i] = put(fmt.Sprint("key", i), "a value of some length, as they are")
	}
	run := func(name string, identify func(c *kv.Command, i int)) {
		b.Run(name, func(b *testing.B) {
			m := new(kv.Machine)
			apply(m, kv.Command{Op: kv.OpOpen, ID: kv.Identity{Session: kv.SessionID{session}}})
			e, dst := kv.Entry{Term: 1, Commands: make([]kv.Command, 1)}, make([]kv.Result, 0, 1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Elapsed++
				e.Commands[0] = cmds[i%keys]
				identify(&e.Commands[0], i)
				dst = m.Apply(uint64(i+2), 1, &e, dst[:0])
				if dst[0].Status != kv.StatusOK {
					b.Fatalf("%+v", dst[0])
				}
			}
		})
	}
	run("plain", func(*kv.Command, int) {})
	run("session", func(c *kv.Command, i int) {
		c.ID.Session, c.ID.Sequence, c.ID.Acked = kv.SessionID{session}, uint64(i+1), uint64(max(0, i-64))
	})
	name := make([]byte, 0, 20)
	run("key", func(c *kv.Command, i int) {
		name = fmt.Appendf(name[:0], "%020d", i%900_000) // repeats from there on
		c.ID.Key = name
	})
}
