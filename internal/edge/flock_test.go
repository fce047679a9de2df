package edge_test

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"go.uber.org/zap"
)

// gathered takes requests for /quick, and answers them when it may.
type gathered struct {
	requests [][]byte
	may      <-chan struct{}
}

func (g *gathered) Take(request []byte) bool {
	if !bytes.HasPrefix(request, []byte("PUT /quick")) {
		return false
	}
	g.requests = append(g.requests, bytes.Clone(request))
	return true
}

func (g *gathered) Answer(put func([]byte)) {
	<-g.may
	for _, r := range g.requests {
		path := bytes.Fields(r)[1]
		put([]byte("HTTP/1.1 200 OK\r\nContent-Length: " + string('0'+rune(len(path))) + "\r\n\r\n" + string(path)))
	}
}

// quickBundle serves a bundle whose quick answers wait for may.
func quickBundle(t *testing.T) (c net.Conn, b *edge.Bundle, may chan<- struct{}, done <-chan struct{}) {
	t.Helper()
	far, near := net.Pipe()
	if err := far.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	release, ended := make(chan struct{}, 100), make(chan struct{})
	b = edge.NewBundle(near, edge.NewServer(edge.DefaultLimits(), zap.NewNop(), echo, nil), func() edge.Flock { return &gathered{may: release} })
	go func() { defer close(ended); b.Run() }()
	t.Cleanup(func() { _ = far.Close(); close(release); <-ended })
	return far, b, release, ended
}

// What comes together is answered together, each at its place, and holds up neither
// the server's requests nor those that come later.
func TestFlocksAreAnsweredTogether(t *testing.T) {
	t.Parallel()
	c, _, may, _ := quickBundle(t)
	r := edge.NewFrameReader(c)
	send(t, c, bytes.Join([][]byte{frame(3, put("/quick1", "")), frame(5, put("/slow", "x")), frame(4, put("/quick2", ""))}, nil))
	if at, _, body := next(t, r); at != 5 || body != "PUT /slow x" {
		t.Errorf("%d: %q", at, body)
	}
	send(t, c, frame(6, put("/quick3", "")), frame(5, put("/slow", "y")))
	if at, _, body := next(t, r); at != 5 || body != "PUT /slow y" {
		t.Errorf("%d: %q", at, body)
	}
	may <- struct{}{}
	may <- struct{}{}
	got := make(map[uint32]string)
	for range 3 {
		at, _, body := next(t, r)
		got[at] = body
	}
	if len(got) != 3 || got[3] != "/quick1" || got[4] != "/quick2" || got[6] != "/quick3" {
		t.Errorf("%v", got)
	}
	may <- struct{}{}
	send(t, c, frame(3, put("/quick4", ""))) // its place is free again
	if at, _, body := next(t, r); at != 3 || body != "/quick4" {
		t.Errorf("%d: %q", at, body)
	}
}

// A place takes one request at a time, whoever answers it.
func TestPlacesOfFlocksAreTaken(t *testing.T) {
	t.Parallel()
	for name, second := range map[string][]byte{
		"in the same flock": bytes.Join([][]byte{frame(0, put("/quick1", "")), frame(0, put("/quick2", ""))}, nil),
		"the server's":      bytes.Join([][]byte{frame(0, put("/quick1", "")), frame(0, put("/slow", ""))}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, may, done := quickBundle(t)
			may <- struct{}{}
			go func() { _, _ = c.Write(second) }() // it may break off
			r, answers := edge.NewFrameReader(c), 0
			for {
				if _, _, err := edge.NextFrame(r); err != nil {
					break
				}
				if answers++; answers > 1 {
					t.Fatal("both were answered")
				}
			}
			<-done
		})
	}
}

// A bundle that closes answers what is in flocks first.
func TestBundleClosesBehindItsFlocks(t *testing.T) {
	t.Parallel()
	c, b, may, done := quickBundle(t)
	r := edge.NewFrameReader(c)
	send(t, c, bytes.Join([][]byte{frame(0, put("/quick1", "")), frame(1, put("/slow", ""))}, nil))
	if at, _, _ := next(t, r); at != 1 { // so the first is in a flock
		t.Errorf("%d was answered", at)
	}
	b.Close()
	select {
	case <-done:
		t.Error("it has ended")
	default:
	}
	may <- struct{}{}
	if at, _, body := next(t, r); at != 0 || body != "/quick1" {
		t.Errorf("%d: %q", at, body)
	}
	if _, _, err := edge.NextFrame(r); err == nil {
		t.Error("there is more")
	}
	<-done
}
