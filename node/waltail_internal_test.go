package node

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// What is before a conflicting end that raft dropped is still there when the log is
// opened again: raft-wal v0.4.0 could read none of it (its issue 31), and the node could
// not be started any more.
func TestLogAfterItsEndWasDropped(t *testing.T) {
	t.Parallel()
	for kind, name := range logNames {
		path := filepath.Join(t.TempDir(), name)
		open := func() logDisk {
			d, err := openDisk(kind, path, hclog.NewNullLogger())
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		entries := func(first, last uint64, data string) []*raft.Log {
			var out []*raft.Log
			for i := first; i <= last; i++ {
				out = append(out, &raft.Log{Index: i, Term: 1, Data: fmt.Appendf(nil, "%s %d", data, i)})
			}
			return out
		}
		d := open()
		for _, err := range []error{
			d.StoreLogs(entries(1, 10, "old")), d.DeleteRange(8, 10), d.StoreLogs(entries(8, 9, "new")), d.Close(),
		} {
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		d = open()
		for _, want := range append(entries(1, 7, "old"), entries(8, 9, "new")...) {
			var got raft.Log
			if err := d.GetLog(want.Index, &got); err != nil || string(got.Data) != string(want.Data) {
				t.Errorf("%s: entry %d: %q (%v), want %q", kind, want.Index, got.Data, err, want.Data)
			}
		}
		if last, err := d.LastIndex(); err != nil || last != 9 {
			t.Errorf("%s: it ends at %d (%v)", kind, last, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
