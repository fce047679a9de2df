package kv_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// A key costs little memory beside its own bytes and those of its value, written one
// by one in any order or restored. (Nothing runs beside this test.)
func TestMemoryPerKey(t *testing.T) {
	const keys, most = 100_000, 64
	own := float64(len(scaleKey(nil, 0)) + scaleValue)
	check := func(how string, keep any, before float64) {
		t.Helper()
		if beyond := (live()-before)/keys - own; beyond > most {
			t.Errorf("%s: %.0f B a key beside key and value, want at most %d", how, beyond, most)
		}
		runtime.KeepAlive(keep)
	}
	before := live()
	m := new(kv.Machine)
	load(m, keys, func(i int) int { return i * 7919 % keys })
	check("in any order", m, before)
	data := snapshot(t, m)
	before = live()
	back, err := kv.ReadSnapshot(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	check("restored", back, before)
	runtime.KeepAlive(m) // else it would count as room that was won
}

// What a key had is let go when it is written again or deleted, however the pages came
// to be: a page that was split must not go on holding what the other half had. (Nothing
// runs beside this test.)
func TestOldValuesAreLetGo(t *testing.T) {
	const keys, most = 100_000, 64
	for _, c := range []struct {
		name     string
		restored bool
		number   func(i int) int
	}{
		{"written in order", false, func(i int) int { return i }},
		{"written in any order", false, func(i int) int { return i * 7919 % keys }},
		{"restored", true, func(i int) int { return i }},
	} {
		before := live()
		m := new(kv.Machine)
		if load(m, keys, c.number); c.restored {
			m = restored(t, m)
		}
		check := func(what string, left int) {
			t.Helper()
			if beyond := (live()-before)/keys - float64(left); beyond > most {
				t.Errorf("%s, then %s: %.0f B a key beside key and value, want at most %d", c.name, what, beyond, most)
			}
		}
		load(m, keys, c.number)
		check("overwritten", len(scaleKey(nil, 0))+scaleValue)
		for i := range keys {
			if i%64 != 0 { // a key in every page stays
				apply(m, kv.Command{Op: kv.OpDelete, Key: scaleKey(nil, i)})
			}
		}
		check("deleted", (len(scaleKey(nil, 0))+scaleValue)/64)
		runtime.KeepAlive(m)
	}
}

// Reading a key allocates nothing, however long the key is.
func TestGetAllocatesNothing(t *testing.T) {
	m, long := new(kv.Machine), strings.Repeat("long", 500)
	apply(m, put("key", "value"), put(long, "value"))
	for _, key := range [][]byte{[]byte("key"), []byte(long), []byte(long + "er")} {
		items := m.Items()
		if n := testing.AllocsPerRun(100, func() {
			m.Get(key)
			items.Get(key)
		}); n != 0 {
			t.Errorf("a key of %d bytes: %v allocations", len(key), n)
		}
	}
}

// A view is taken in constant time, and costs the writes after it a few pages each at
// most: a snapshot copies nothing.
func TestViewCopiesNothing(t *testing.T) {
	m := new(kv.Machine)
	const keys, few, pages = 100_000, 16, 12 // a view and its trees; a page and its two arrays for each level
	load(m, keys, func(i int) int { return i })
	if n := testing.AllocsPerRun(10, func() { m.View() }); n > few {
		t.Errorf("a view of %d keys: %v allocations", keys, n)
	}
	i := 0
	one := func() float64 {
		return testing.AllocsPerRun(10, func() {
			apply(m, put(string(scaleKey(nil, i*7919%keys)), "v"))
			i++
		})
	}
	alone := one()
	var views []*kv.View
	beside := testing.AllocsPerRun(10, func() {
		views = append(views, m.View())
		apply(m, put(string(scaleKey(nil, i*7919%keys)), "v"))
		i++
	})
	if beside > alone+few+pages {
		t.Errorf("a write takes %v allocations, with a view before it %v", alone, beside)
	}
	if one() > alone+pages {
		t.Error("a write after the last view copies more than its pages")
	}
}

// A snapshot restores every key and value, whatever their sizes and wherever its
// buffers end.
func TestRestoreKeepsEveryKey(t *testing.T) {
	t.Parallel()
	for _, keys := range []int{0, 1, 63, 64, 65, 4096, 4097, 20_000} {
		m := new(kv.Machine)
		want := make(map[string]string)
		for i := range keys {
			key, value := fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), i%50)
			switch i {
			case 40:
				value = strings.Repeat("v", 256<<10) // as long as a buffer
			case 41:
				value = strings.Repeat("w", 3<<20)
			case 42:
				key = strings.Repeat("k", 300<<10)
			}
			want[key] = value
			apply(m, put(key, value))
		}
		back := restored(t, m)
		if back.Len() != len(want) {
			t.Errorf("%d keys of %d came back", back.Len(), len(want))
		}
		for key, value := range want {
			it, ok := back.Get([]byte(key))
			if before, _ := m.Get([]byte(key)); !ok || string(it.Value) != value || it.Rev != before.Rev || it.Writes != before.Writes {
				t.Errorf("%d keys: %.20q: %.20q, %v", keys, key, it.Value, ok)
			}
		}
	}
}
