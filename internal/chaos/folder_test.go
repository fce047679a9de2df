package chaos

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put writes a file and the folders that it is in.
func put(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A copy is the same byte for byte, with what is empty and what ends in emptiness.
func TestCopyFolder(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	want := map[string][]byte{
		"empty":       {},
		"small":       []byte("x"),
		"sub/exactly": bytes.Repeat([]byte{7}, block),
		"sub/holes":   append(append(make([]byte, 2*block), "middle"...), make([]byte, 3*block+5)...),
	}
	for name, b := range want {
		put(t, filepath.Join(from, name), b)
	}
	if err := copyFolder(from, to); err != nil {
		t.Fatal(err)
	}
	for name, b := range want {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %d bytes (%v), want %d", name, len(got), err, len(b))
		}
	}
}

// Damage is done to one file of its kind, to what it holds and not to what was never
// written, and the words for it are true.
func TestDamage(t *testing.T) {
	t.Parallel()
	held := bytes.Repeat([]byte("data"), 3000)
	whole := append(bytes.Clone(held), make([]byte, 1<<20)...)
	for kind, name := range map[string]string{
		"log": "wal/1.wal", "vote": "votes", "snapshot": "snapshots/2-9/state.bin", "identity": "node.json",
	} {
		cut, flipped := 0, 0
		for n := range uint64(40) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "snapshots/1-5/state.bin"), whole)
			put(t, filepath.Join(dir, name), whole)
			what, err := damage(dir, kind, &dice{Rand: random(1, n)})
			if err != nil || !strings.HasPrefix(what, name) {
				t.Fatalf("%s: %s (%v)", kind, what, err)
			}
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case len(b) < len(held):
				cut++
			case len(b) == len(whole) && !bytes.Equal(b[:len(held)], held) && bytes.Equal(b[len(held):], whole[len(held):]):
				flipped++
			default:
				t.Errorf("%s: no damage: %d bytes", what, len(b))
			}
		}
		if cut == 0 || flipped == 0 {
			t.Errorf("%s: %d times cut, %d times flipped", kind, cut, flipped)
		}
	}
	if what, err := damage(t.TempDir(), "log", &dice{Rand: random(1, 1)}); what != "" || err != nil {
		t.Errorf("nothing was damaged: %q, %v", what, err)
	}
}
