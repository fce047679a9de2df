package node

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// BenchmarkVote is what one term or vote takes to write.
func BenchmarkVote(b *testing.B) {
	dir := &dataDir{path: b.TempDir()}
	s, err := openLogStore(LogStoreBolt, dir, 1<<20, newDiskWatch(time.Minute, nil), hclog.NewNullLogger(), func(error) {})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := range uint64(b.N) {
		if err := s.SetUint64([]byte(keyTerm), i); err != nil {
			b.Fatal(err)
		}
	}
}
