package kv_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/node/internal/kv"
)

// BenchmarkScale is what many keys cost: memory, a view, a snapshot and its way
// back, and how long one write waits while a snapshot is written. One run of it is
// one state:
//
//	go test -run xxx -bench 'Scale/.*/1000000$' -benchtime 1x ./node/internal/kv
func BenchmarkScale(b *testing.B) {
	for _, o := range []struct {
		name   string
		number func(i, keys int) int
	}{
		{"ascending", func(i, _ int) int { return i }},
		{"random", func(i, keys int) int { return int(uint64(i) * 2654435761 % uint64(keys)) }}, // a prime, so that each comes once
	} {
		for _, keys := range []int{1e3, 1e4, 1e5, 1e6, 1e7} {
			b.Run(fmt.Sprintf("%s/%d", o.name, keys), func(b *testing.B) {
				for b.Loop() {
					scale(b, keys, func(i int) int { return o.number(i, keys) })
				}
			})
		}
	}
}

const scaleValue = 256

func scaleKey(b []byte, n int) []byte { return fmt.Appendf(b, "key%09d", n) }

// load writes keys, 64 to an entry.
func load(m *kv.Machine, keys int, number func(int) int) {
	e := kv.Entry{Term: 1, Commands: make([]kv.Command, 64)}
	value := bytes.Repeat([]byte("v"), scaleValue)
	var dst []kv.Result
	for i := 0; i < keys; i += len(e.Commands) {
		e.Commands = e.Commands[:min(len(e.Commands), keys-i)]
		for k := range e.Commands {
			e.Commands[k] = kv.Command{Op: kv.OpPut, Key: scaleKey(e.Commands[k].Key[:0], number(i+k)), Value: value}
		}
		dst = m.Apply(m.Index()+1, 1, &e, dst[:0])
	}
}

// live is the heap that is in use after a collection.
func live() float64 {
	runtime.GC()
	runtime.GC() // what the first one finalizes
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// cpu is the CPU time of this process, in milliseconds: others on the machine bear
// less on it than on the clock.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

func scale(b *testing.B, keys int, number func(int) int) {
	before := live()
	m := new(kv.Machine)
	spent := cpu()
	load(m, keys, number)
	spent = cpu() - spent
	if m.Len() != keys {
		b.Fatalf("%d keys, not %d", m.Len(), keys)
	}
	own := float64(len(scaleKey(nil, 0)) + scaleValue)
	b.ReportMetric((live()-before)/float64(keys)-own, "B/key-beyond")
	b.ReportMetric(1e6*spent/float64(keys), "CPU-ns/put")
	load(m, keys, number) // before any view: what views hold on to is another matter
	b.ReportMetric((live()-before)/float64(keys)-own, "B/key-beyond-overwritten")
	b.ReportMetric(0, "ns/op")

	began := time.Now()
	v := m.View()
	b.ReportMetric(float64(time.Since(began).Nanoseconds()), "ns/view")
	spent = cpu()
	if _, err := v.WriteTo(io.Discard); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(cpu()-spent, "CPU-ms/write")

	b.ReportMetric(longest(m, keys, nil), "ms/longest-apply")
	b.ReportMetric(longest(m, keys, m.View()), "ms/longest-apply-beside-snapshot")

	var snapshot bytes.Buffer
	if _, err := m.View().WriteTo(&snapshot); err != nil {
		b.Fatal(err)
	}
	m, v = nil, nil
	before, spent = live(), cpu()
	back, err := kv.ReadSnapshot(&snapshot)
	if err != nil || back.Len() != keys {
		b.Fatalf("restored %d keys: %v", back.Len(), err)
	}
	b.ReportMetric(cpu()-spent, "CPU-ms/restore")
	b.ReportMetric((live()-before)/float64(keys)-own, "B/key-beyond-restored")
	runtime.KeepAlive(snapshot)
	runtime.KeepAlive(back)
}

// longest is the longest time of an entry with one write, of those that are applied
// while a view is written, or as many as one writes in a while where there is none.
func longest(m *kv.Machine, keys int, v *kv.View) float64 {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if v != nil {
			_, _ = v.WriteTo(io.Discard) // it never fails
		} else {
			time.Sleep(200 * time.Millisecond)
		}
	}()
	var most time.Duration
	e := kv.Entry{Term: 1, Commands: make([]kv.Command, 1)}
	e.Commands[0] = kv.Command{Op: kv.OpPut, Value: bytes.Repeat([]byte("w"), scaleValue)}
	var dst []kv.Result
	for {
		select {
		case <-done:
			return float64(most.Microseconds()) / 1000
		default:
		}
		e.Commands[0].Key = scaleKey(e.Commands[0].Key[:0], rand.IntN(keys))
		began := time.Now()
		dst = m.Apply(m.Index()+1, 1, &e, dst[:0])
		most = max(most, time.Since(began))
		runtime.Gosched()
	}
}
