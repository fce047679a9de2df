package node

import "github.com/hashicorp/raft"

// logCache holds a run of entries without a gap, the newest there are.
type logCache struct {
	max   int
	bytes int
	logs  []*raft.Log
}

func (c *logCache) get(index uint64) *raft.Log {
	if len(c.logs) == 0 || index < c.logs[0].Index || index-c.logs[0].Index >= uint64(len(c.logs)) {
		return nil
	}
	return c.logs[index-c.logs[0].Index]
}

func (c *logCache) add(l *raft.Log) {
	if n := len(c.logs); n > 0 && c.logs[n-1].Index+1 != l.Index {
		c.reset()
	}
	c.logs = append(c.logs, l)
	c.bytes += logBytes(l)
	evict := 0
	for c.bytes > c.max && evict < len(c.logs) {
		c.bytes -= logBytes(c.logs[evict])
		c.logs[evict] = nil // the array behind lives on until append moves it
		evict++
	}
	c.logs = c.logs[evict:]
}

// drop forgets the range. What raft drops is an end or a beginning; anything
// else forgets everything, which is always right.
func (c *logCache) drop(lo, hi uint64) {
	if len(c.logs) == 0 || hi < c.logs[0].Index || lo > c.logs[len(c.logs)-1].Index {
		return
	}
	first := c.logs[0].Index
	if hi >= c.logs[len(c.logs)-1].Index || lo > first {
		c.reset()
		return
	}
	for range hi - first + 1 {
		c.bytes -= logBytes(c.logs[0])
		c.logs[0] = nil
		c.logs = c.logs[1:]
	}
}

func (c *logCache) reset() { c.logs, c.bytes = nil, 0 }

// logBytes counts an entry with the memory that it costs beside its data.
func logBytes(l *raft.Log) int { return len(l.Data) + len(l.Extensions) + 128 }
