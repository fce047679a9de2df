package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	const me = "mine"
	for _, c := range []struct {
		name       string
		voters     int
		remembered map[string]string
		want       admission
	}{
		{"alone", 1, nil, admissionStart},
		{"nobody answers", 3, nil, admissionWait},
		{"one of two", 3, map[string]string{"b": me}, admissionWait},
		{"both", 3, map[string]string{"b": me, "c": me}, admissionStart},
		{"one remembers another memory", 3, map[string]string{"b": me, "c": "old"}, admissionLost},
		{"two of four", 5, map[string]string{"b": me, "c": me}, admissionWait},
		{"three of four", 5, map[string]string{"b": me, "c": me, "d": me}, admissionStart},
		{"four of six", 7, map[string]string{"b": me, "c": me, "d": me, "e": me}, admissionWait},
		{"five of six", 7, map[string]string{"b": me, "c": me, "d": me, "e": me, "f": me}, admissionStart},
	} {
		if got, _ := admit(c.voters, me, c.remembered); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// simulated is one node of a cluster of records alone.
type simulated struct {
	incarnation string
	joined      bool // takes part in Raft
	took        bool // has taken part, with whatever memory
	records     records
	closed      bool // it was removed and has joined again
}

func (s *simulated) wipe(incarnation string) {
	*s = simulated{incarnation: incarnation, took: s.took, records: make(records)}
}

// attempt lets node i ask some of the others, some of whose answers are lost.
func attempt(rnd *rand.Rand, nodes []*simulated, i int, missed float64) admission {
	me, remembered := nodes[i], make(map[string]string)
	for j, p := range nodes {
		if j == i || rnd.Float64() < missed {
			continue
		}
		known, _ := p.records.note(fmt.Sprint(i), me.incarnation, p.closed)
		if known != "" && rnd.Float64() >= missed {
			remembered[fmt.Sprint(j)] = known
		}
	}
	a, _ := admit(len(nodes), me.incarnation, remembered)
	return a
}

// While no more than a minority of the disks is lost, no node that has taken part
// is let in again with an empty one, whatever is asked in whatever order and
// whatever answers are lost. With a threshold of a majority it fails.
func TestAdmissionNeverForgets(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20000) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		nodes := make([]*simulated, 3+2*rnd.IntN(4))
		for i := range nodes {
			nodes[i] = new(simulated)
			nodes[i].wipe(fmt.Sprint(i, " first"))
		}
		wipes := len(nodes) / 2
		for step := range 20 + rnd.IntN(80) {
			i := rnd.IntN(len(nodes))
			n := nodes[i]
			if n.joined && wipes > 0 && rnd.IntN(4) == 0 {
				wipes--
				n.wipe(fmt.Sprint(i, " after step ", step))
			}
			if n.joined || attempt(rnd, nodes, i, 0.5) != admissionStart {
				continue
			}
			if n.took {
				t.Fatalf("seed %d: node %d of %d was wiped and let in again", seed, i, len(nodes))
			}
			n.joined, n.took = true, true
		}
	}
}

// All together start the cluster, whoever comes first and whatever is lost.
func TestAdmissionEnds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		nodes := make([]*simulated, 3+2*rnd.IntN(4))
		for i := range nodes {
			nodes[i] = new(simulated)
			nodes[i].wipe(fmt.Sprint(i, " first"))
		}
		for i := range nodes {
			for tries := 0; attempt(rnd, nodes, i, 0.2) != admissionStart; tries++ {
				if tries > 1000 {
					t.Fatalf("seed %d: node %d of %d never starts", seed, i, len(nodes))
				}
			}
		}
	}
}

func TestQuorumSent(t *testing.T) {
	t.Parallel()
	base := time.Now()
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	c := newContact()
	c.noteAck("b", 3, at(10))
	c.noteAck("b", 3, at(5)) // out of order
	c.noteAck("c", 3, at(20))
	c.noteAck("d", 2, at(30)) // of an earlier term
	for _, s := range []struct {
		voters []raft.ServerID
		want   time.Time
	}{
		{[]raft.ServerID{"a"}, at(50)},
		{[]raft.ServerID{"a", "b", "c"}, at(20)},
		{[]raft.ServerID{"a", "b", "d"}, at(10)},
		{[]raft.ServerID{"a", "b", "c", "d", "e"}, at(10)},
		{[]raft.ServerID{"a", "d", "e"}, time.Time{}},
		{[]raft.ServerID{"b", "c", "d"}, at(10)}, // a leader that is no voter
		{nil, time.Time{}},
	} {
		if got := c.quorumSent(s.voters, "a", 3, at(50)); !got.Equal(s.want) {
			t.Errorf("%v: %v, want %v", s.voters, got, s.want)
		}
	}
}

func TestBoundBytes(t *testing.T) {
	t.Parallel()
	entry := func(n int) *raft.Log { return &raft.Log{Data: make([]byte, n)} }
	for _, c := range []struct {
		sizes []int
		want  int
	}{
		{nil, 0}, {[]int{200}, 1}, {[]int{50, 50}, 2}, {[]int{50, 51}, 1}, {[]int{200, 1}, 1}, {[]int{1, 1, 1, 98}, 3},
	} {
		var in []*raft.Log
		for _, n := range c.sizes {
			in = append(in, entry(n))
		}
		if got := len(boundBytes(in, 100)); got != c.want {
			t.Errorf("%v: %d entries, want %d", c.sizes, got, c.want)
		}
	}
}

func openStore(t *testing.T, kind LogStore, cache int, fatal func(error)) *logStore {
	t.Helper()
	s, err := openLogStore(kind, &dataDir{path: t.TempDir()}, cache, newDiskWatch(time.Minute, nil), hclog.NewNullLogger(), fatal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entries(from, to uint64) []*raft.Log {
	var out []*raft.Log
	for i := from; i <= to; i++ {
		out = append(out, &raft.Log{Index: i, Term: 1, Data: fmt.Appendf(nil, "entry %d", i)})
	}
	return out
}

// What the cache answers is what the disk has, through appends, compaction and
// the removal of a conflicting end.
func TestLogCacheAgreesWithDisk(t *testing.T) {
	t.Parallel()
	for _, kind := range []LogStore{LogStoreBolt, LogStoreWAL} {
		for _, cache := range []int{0, 2000, 1 << 20} {
			t.Run(fmt.Sprint(kind, cache), func(t *testing.T) {
				t.Parallel()
				s := openStore(t, kind, cache, func(err error) { t.Error(err) })
				agreesWithDisk(t, s)
			})
		}
	}
}

func agreesWithDisk(t *testing.T, s *logStore) {
	steps := []struct {
		do          func() error
		first, last uint64
	}{
		{func() error { return s.StoreLogs(entries(1, 700)) }, 1, 700},
		{func() error { return s.DeleteRange(1, 600) }, 601, 700},
		{func() error { return s.DeleteRange(680, 700) }, 601, 679},
		{func() error { return s.StoreLogs(entries(680, 690)) }, 601, 690},
		{func() error { return s.DeleteRange(601, 690) }, 0, 0},
		{func() error { return s.StoreLogs(entries(1000, 1800)) }, 1000, 1800},
		{func() error { return s.DeleteRange(1001, 1800) }, 1000, 1000}, // newest first, in chunks
	}
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		first, _ := s.FirstIndex()
		last, _ := s.LastIndex()
		if first != step.first || last != step.last {
			t.Errorf("step %d: log is %d-%d, want %d-%d", i, first, last, step.first, step.last)
		}
		for index := uint64(1); index <= 1801; index += 3 {
			var got, disk raft.Log
			err, diskErr := s.GetLog(index, &got), s.disk.GetLog(index, &disk)
			if (err == nil) != (diskErr == nil) || string(got.Data) != string(disk.Data) {
				t.Fatalf("step %d, entry %d: %q (%v), disk has %q (%v)", i, index, got.Data, err, disk.Data, diskErr)
			}
		}
		if s.cache.bytes > s.cache.max {
			t.Errorf("the cache holds %d bytes, at most %d", s.cache.bytes, s.cache.max)
		}
	}
}

func TestFailedWriteEndsTheNode(t *testing.T) {
	t.Parallel()
	var cause error
	s := openStore(t, LogStoreBolt, 0, func(err error) { cause = err })
	if err := s.disk.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(entries(1, 1)); err == nil || cause == nil || !strings.Contains(cause.Error(), "append to the log") {
		t.Errorf("got %v, the node ends with %v", err, cause)
	}
	cause = nil
	if err := s.SetUint64([]byte("CurrentTerm"), 1); err == nil || cause == nil {
		t.Errorf("got %v, the node ends with %v", err, cause)
	}
}

func TestParseTags(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		`"1"`: "[1]", `"1","z"`: "[1 35]", ` "1" , "2" `: "[1 2]", `W/"1"`: "[0]", `"A"`: "[0]", `"01"`: "[0]", `""`: "[0]", `"not ours!"`: "[0]",
		``: "error", `1`: "error", `"1`: "error", `"1" "2"`: "error", `"1",`: "error", `*`: "error",
	} {
		tags, err := parseTags(s)
		got := "error"
		if err == nil {
			raw := make([]uint64, len(tags))
			for i, tag := range tags {
				raw[i] = uint64(tag)
			}
			got = fmt.Sprint(raw)
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", s, got, err, want)
		}
	}
}

// Nothing is applied, shown or saved after an entry that cannot be read.
func TestUnreadableEntryStopsTheState(t *testing.T) {
	t.Parallel()
	var cause error
	f := newFSM(func(err error) { cause = err })
	put := func(key string) []byte {
		c := kv.Command{Op: kv.OpPut, Key: []byte(key), Value: []byte("v")}
		return kv.AppendCommand(kv.AppendEntry(nil, 1, 0, 1), &c)
	}
	out := f.ApplyBatch([]*raft.Log{
		{Index: 1, Term: 1, Data: put("a")}, {Index: 2, Term: 1, Data: []byte{99}}, {Index: 3, Term: 1, Data: put("b")},
	})
	out = append(out, f.Apply(&raft.Log{Index: 4, Term: 1, Data: put("c")}))
	if cause == nil || out[0].(applied).err != nil {
		t.Errorf("the node ends with %v; %+v", cause, out[0])
	}
	for _, o := range out[1:] {
		if o.(applied).err == nil {
			t.Errorf("applied after the hole: %+v", o)
		}
	}
	if _, err := f.Snapshot(); err == nil || f.len() != 1 || f.index.Load() != 1 {
		t.Errorf("snapshot: %v; %d keys at index %d", err, f.len(), f.index.Load())
	}
}

func TestParseIdempotencyKey(t *testing.T) {
	t.Parallel()
	const bad = "bad input"
	for value, want := range map[string]string{
		"a": "a", "8e03978e-40d5-43dd-bc93-6894a57f9324": "8e03978e-40d5-43dd-bc93-6894a57f9324", "~!,;=": "~!,;=", `a"b`: `a"b`,
		`"a"`: "a", `"a b"`: "a b", `"\"\\"`: `"\`, strings.Repeat("k", 255): strings.Repeat("k", 255),
		"": bad, `""`: bad, `"`: bad, `"a`: bad, `"a"b`: bad, `"a";p=1`: bad, `"a\`: bad, `"a\"`: bad, `"\a"`: bad, "a b": bad, "\x01": bad,
		"\x7f": bad, "é": bad, "\"é\"": bad, "\"\t\"": bad, strings.Repeat("k", 256): bad,
	} {
		key, err := parseIdempotencyKey([]byte(value))
		got := string(key)
		if err != nil {
			got = bad
		}
		if got != want || (err != nil && !errors.Is(err, ErrBadInput)) {
			t.Errorf("%s: %q (%v), want %q", value, got, err, want)
		}
	}
}

// Every part of a request counts, and where one ends and the next begins. The
// values are golden: nodes of other versions must find the same.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	seen := make(map[kv.Fingerprint]string)
	for name, c := range map[string]kv.Command{
		"put":      {Op: kv.OpPut, Key: []byte("ab"), Value: []byte("c")},
		"shifted":  {Op: kv.OpPut, Key: []byte("a"), Value: []byte("bc")},
		"value":    {Op: kv.OpPut, Key: []byte("ab"), Value: []byte("d")},
		"delete":   {Op: kv.OpDelete, Key: []byte("ab")},
		"empty":    {Op: kv.OpPut, Key: []byte("ab")},
		"absent":   {Op: kv.OpPut, Key: []byte("ab"), Value: []byte("c"), Cond: kv.Condition{Kind: kv.CondAbsent}},
		"match":    {Op: kv.OpPut, Key: []byte("ab"), Value: []byte("c"), Cond: kv.Condition{Kind: kv.CondMatch, Revs: []uint64{1}}},
		"match 2":  {Op: kv.OpPut, Key: []byte("ab"), Value: []byte("c"), Cond: kv.Condition{Kind: kv.CondMatch, Revs: []uint64{2}}},
		"no match": {Op: kv.OpPut, Key: []byte("ab"), Value: []byte("c"), Cond: kv.Condition{Kind: kv.CondNoMatch, Revs: []uint64{1}}},
	} {
		f := fingerprint(&c)
		if other, twice := seen[f]; twice {
			t.Errorf("%s and %s look the same", name, other)
		}
		seen[f] = name
	}
	golden := kv.Command{Op: kv.OpPut, Key: []byte("ab"), Value: []byte("c"), Cond: kv.Condition{Kind: kv.CondMatch, Revs: []uint64{1}}}
	if got := fmt.Sprintf("%x", fingerprint(&golden)); got != "f421d639fdfa497370b308c791fd52e2" {
		t.Errorf("the fingerprint is %s", got)
	}
}

func TestIdentityLimitsAreBounded(t *testing.T) {
	t.Parallel()
	good := DefaultConfig()
	good.ID, good.DataDir = "n1", "d"
	good.InitialCluster = []Member{{ID: "n1", Raft: "h:1"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	if good.identityLimits() != kv.DefaultLimits() {
		t.Errorf("a node's defaults are %+v, those before the first mark %+v", good.identityLimits(), kv.DefaultLimits())
	}
	for name, change := range map[string]func(*Config){
		"session timeout": func(c *Config) { c.SessionTimeout = 0 }, "max sessions": func(c *Config) { c.MaxSessions = 1 << 20 },
		"idempotency window": func(c *Config) { c.IdempotencyWindow = -1 }, "max idempotency keys": func(c *Config) { c.MaxIdempotencyKeys = 0 },
		"max idempotency bytes": func(c *Config) { c.MaxIdempotencyBytes = 1 },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The time of a term begins with its first entry.
func TestTermClock(t *testing.T) {
	t.Parallel()
	var c termClock
	base := time.Now()
	for i, s := range []struct {
		term  uint64
		after time.Duration
		want  time.Duration
	}{{3, 0, 0}, {3, 5, 5}, {3, 4, 4}, {4, 9, 0}, {4, 10, 1}, {4, 8, 0}, {3, 11, 0}, {4, 12, 3}} {
		if got := c.elapsed(s.term, base.Add(s.after)); got != s.want {
			t.Errorf("step %d: %d, want %d", i, got, s.want)
		}
	}
}
