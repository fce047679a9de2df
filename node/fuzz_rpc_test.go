package node

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// given is raft's stream layer with connections that a test gives it.
type given struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (g *given) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

func (g *given) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	return nil, errors.New("nobody is there")
}
func (g *given) Close() error   { close(g.closed); return nil }
func (g *given) Addr() net.Addr { return new(net.TCPAddr) }

// hugeTime says whether there may be an extension of MessagePack in it that is a time
// (-1) of 16 MiB or more.
func hugeTime(in []byte) bool {
	for i := range max(0, len(in)-5) {
		if in[i] == 0xc9 && in[i+1] != 0 && in[i+5] == 0xff {
			return true
		}
	}
	return false
}

// Whatever comes over a stream of raft's, the transport ends it or hands on an RPC
// that raft can look at.
func FuzzRaftRPC(f *testing.F) {
	// Kinds of RPC, and a map of MessagePack behind each: with the entries nil, [nil],
	// and [{Index: 1}], and of more than there is.
	f.Add([]byte("\x00\x82\xa4Term\x01\xa7Entries\xc0"))
	f.Add([]byte("\x00\x82\xa4Term\x01\xa7Entries\x91\xc0"))
	f.Add([]byte("\x00\x83\xa4Term\x02\xa7Entries\x91\x81\xa5Index\x01\xacPrevLogEntry\xcf\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x81\xa7Entries\xdd\xff\xff\xff\xff"))
	f.Add([]byte("\x01\x81\xa4Term\x01\x04\x80\x03\x80"))
	f.Add([]byte("\x02\x81\xa4Size\x03abc\x02\x81\xa4Size\xff"))
	stream := &given{conns: make(chan net.Conn), closed: make(chan struct{})}
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: stream, MaxPool: 1, Timeout: time.Minute, Logger: hclog.NewNullLogger()})
	tr := newTransport(inner, newContact(), nil, newDiskWatch(time.Hour, nil), 1<<20, false)
	f.Cleanup(func() { tr.Close() })
	bad := make(chan *raft.AppendEntriesRequest, 1)
	tr.wg.Go(func() {
		for {
			select {
			case rpc := <-tr.Consumer():
				if a, ok := rpc.Command.(*raft.AppendEntriesRequest); ok && slices.Contains(a.Entries, nil) {
					select {
					case bad <- a:
					default:
					}
				}
				if rpc.Reader != nil {
					_, _ = io.Copy(io.Discard, rpc.Reader)
				}
				rpc.Respond(new(raft.AppendEntriesResponse), nil)
			case <-tr.closed:
				return
			}
		}
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		if hugeTime(in) {
			t.Skip("go-msgpack v2.1.5 makes room for a time of so many bytes, up to 4 GiB, before it reads them: the Raft port is for peers only")
		}
		conn := fuzzkit.NewConn(bytes.Clone(in))
		stream.conns <- conn
		conn.Answered(t)
		select {
		case a := <-bad:
			t.Fatalf("%q: raft is handed %+v, which it would not survive", in, a)
		default:
		}
	})
}
