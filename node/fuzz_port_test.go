package node

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/fuzzkit"
	"go.uber.org/zap"
)

// greeting is what opens a connection to a Raft port, and what follows it.
func greeting(f *testing.F, kind byte, h hello, behind ...any) []byte {
	f.Helper()
	b := bytes.NewBuffer([]byte{kind})
	for _, v := range append([]any{h}, behind...) {
		if err := writeFrame(b, v); err != nil {
			f.Fatal(err)
		}
	}
	return b.Bytes()
}

// answering is a node that was never opened, with what it needs to answer its peers.
func answering(f *testing.F) *Node {
	f.Helper()
	cfg := DefaultConfig()
	cfg.ID, cfg.InitialCluster = "n1", []Member{{ID: "n1", Raft: "x:1"}, {ID: "n2", Raft: "x:2"}, {ID: "n3", Raft: "x:3"}}
	m, err := openMemory(filepath.Join(f.TempDir(), peersFile), false, false)
	if err != nil {
		f.Fatal(err)
	}
	return &Node{cfg: cfg, log: zap.NewNop(), memory: m, crash: newCrash()}
}

// Whatever a stranger sends to the Raft port, it gets a verdict, or nothing where it
// has not said hello; nothing more where the verdict is a refusal; and else no more
// answers than it has put questions.
func FuzzRaftPort(f *testing.F) {
	n := answering(f)
	h := hello{Cluster: n.cfg.Cluster, From: "n2", To: "n1", Run: "r"}
	known := question{Identify: &identify{Incarnation: "i", Members: membersDigest(n.cfg.InitialCluster)}}
	f.Add(greeting(f, streamCluster, h, known, question{Suspect: &suspect{Leader: "n3", Term: 2}}, question{}))
	f.Add(append(greeting(f, streamTerm, h), 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 1))
	f.Add(append(greeting(f, streamWatch, h), "more"...))
	f.Add(append(greeting(f, streamRaft, h), 0, 1, 2))
	f.Add(greeting(f, 'X', h))
	f.Add(greeting(f, streamCluster, hello{Cluster: "other", From: "n1"}))
	f.Add([]byte{streamCluster, 0xff, 0xff, 0xff, 0xff})
	p := openPort(f, n.cfg.ID, "run")
	p.answer = n.answer
	p.briefs = map[byte]func() brief{streamTerm: func() brief { return brief{ok: true, term: 3} }}
	p.raftOpen.Store(true)
	go func() {
		for { // as raft's transport does with what it cannot decode
			c, err := p.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := fuzzkit.NewConn(in)
		go p.welcome(conn)
		checkGreeted(t, in, conn.Answered(t))
	})
}

// checkGreeted reads what a Raft port has answered.
func checkGreeted(t *testing.T, in, out []byte) {
	t.Helper()
	if len(out) == 0 {
		return
	}
	questions, answers := bytes.NewReader(in[1:]), bytes.NewReader(out)
	var h hello
	var v verdict
	if err := errors.Join(readFrame(questions, &h), readFrame(answers, &v)); err != nil {
		t.Fatalf("%q is answered %q: %v", in, out, err)
	}
	kind := in[0]
	switch {
	case v.Error != "", kind == streamWatch, kind == streamRaft:
		if answers.Len() > 0 {
			t.Errorf("%q is answered more than a verdict: %q", in, out)
		}
	case kind == streamTerm:
		var want []byte
		for number := make([]byte, questionBytes); ; {
			if _, err := io.ReadFull(questions, number); err != nil {
				break
			}
			b := brief{ok: true, term: 3, number: binary.BigEndian.Uint64(number)}
			want = b.append(want)
		}
		if got, err := io.ReadAll(answers); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q is answered %q, not %q", in, got, want)
		}
	default:
		for answers.Len() > 0 {
			var q question
			var r reply
			if err := errors.Join(readFrame(questions, &q), readFrame(answers, &r)); err != nil {
				t.Errorf("%q is answered %q: %v", in, out, err)
				return
			}
		}
	}
}

// Whatever comes as a frame is refused, or means the same when it is written again.
func FuzzFrame(f *testing.F) {
	for _, v := range []any{
		hello{Cluster: "c", From: "a", Run: "r"}, verdict{Error: "no", Patience: time.Second},
		question{Suspect: &suspect{Rank: rank{ID: "n1", Term: 1 << 63}}}, reply{Identity: &whoIsWho{Remembered: "i"}, Opinion: &opinion{}},
	} {
		var b bytes.Buffer
		if err := writeFrame(&b, v); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte{0, 1, 0, 1, '{'})
	f.Add([]byte("\x00\x00\x00\x04null"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, kind := range []any{hello{}, verdict{}, question{}, reply{}} {
			first, second := reflect.New(reflect.TypeOf(kind)).Interface(), reflect.New(reflect.TypeOf(kind)).Interface()
			if readFrame(bytes.NewReader(in), first) != nil {
				continue
			}
			var b bytes.Buffer
			if err := errors.Join(writeFrame(&b, first), readFrame(&b, second)); err != nil || !reflect.DeepEqual(first, second) {
				a, _ := json.Marshal(first)
				t.Errorf("%q is %s, and then %+v (%v)", in, a, second, err)
			}
		}
	})
}

// Whatever a peer answers to brief questions, each whole answer is taken for one.
func FuzzBriefAnswers(f *testing.F) {
	f.Add(brief{ok: true, number: 1, term: 2, index: 1 << 63}.append(nil))
	f.Add(brief{number: 1 << 63}.append(brief{number: 1}.append([]byte{})))
	f.Fuzz(func(t *testing.T, in []byte) {
		var got []brief
		conn := fuzzkit.NewConn(in)
		l := &line{
			patience: time.Minute, wanted: 1, answered: func(b brief) { got = append(got, b) },
			open: true,
		}
		go l.read(conn)
		questions := conn.Answered(t)
		if len(got) != len(in)/answerBytes || len(questions)%questionBytes != 0 || len(questions) > (1+len(got))*questionBytes {
			t.Errorf("%q: %d answers, %d bytes of questions", in, len(got), len(questions))
		}
		for i, b := range got {
			again := b.append(nil)
			again[0] = in[i*answerBytes] // whatever is not 1 says no
			if !bytes.Equal(again, in[i*answerBytes:][:answerBytes]) {
				t.Errorf("%q: answer %d is taken for %+v", in, i, b)
			}
		}
	})
}
