package edge_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/harness"
)

// An answer that is waited for keeps its place before what comes behind it.
func TestQuickWaits(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	for _, behind := range []string{"", quickGet, waitGet, slowGet, quickGet[:9]} {
		k.send(waitGet + behind)
		<-s.waits
		s.let <- "at last"
		k.want("at last")
		switch behind {
		case quickGet:
			k.want("quick")
		case waitGet:
			<-s.waits
			s.let <- "once more"
			k.want("once more")
		case slowGet:
			k.want("served /slow ")
		case quickGet[:9]:
			k.send(quickGet[9:])
			k.wantParts(1)
		}
		k.settle()
	}
	k.send(waitGet + quickGet)
	<-s.waits
	s.let <- letServer
	k.want("served /wait ", "served /quick ")
	k.settle()
	k.send(waitGet)
	<-s.waits
	s.let <- string(big)
	k.want(string(big))
}

// A read that ends within a request is no reason to leave it, and what comes behind it, to
// the server.
func TestQuickWaitsForMoreThanARead(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	const many = 3000
	go func() { _, _ = io.WriteString(k.TCPConn, strings.Repeat(waitGet, many)+slowGet) }()
	for i := range many {
		select {
		case <-s.waits:
		case <-time.After(harness.Patience):
			t.Fatalf("the server has the %dth", i+1)
		}
		s.let <- strconv.Itoa(i)
		k.want(strconv.Itoa(i))
	}
	k.want("served /slow ")
}

// A bug behind a wait ends the connection: the server would do once more what may have
// been done.
func TestQuickServesNothingTwice(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	k.send(waitGet + quickGet)
	<-s.waits
	s.let <- letBug
	if b, err := io.ReadAll(k.in); err != nil || len(b) > 0 {
		t.Errorf("%q, %v; want nothing but the end", b, err)
	}
}

// A client that says nothing more is told so behind its answer.
func TestQuickAnswersHalfClosed(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	for range 50 {
		k := s.talk(t)
		k.send(waitGet)
		if err := k.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		<-s.waits
		s.let <- "at last"
		k.want("at last")
		if b, err := k.in.ReadByte(); err != io.EOF {
			t.Fatalf("after the answer: %q, %v", b, err)
		}
	}
}

// Answers of many connections that are waited for at once each go where they belong.
func TestQuickAnswersEachItsOwn(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	go func() {
		for i := 0; ; i++ {
			if _, more := <-s.waits; !more {
				return
			}
			s.let <- strconv.Itoa(i)
		}
	}()
	defer close(s.waits)
	const clients, rounds = 20, 50
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[string]bool)
	for range clients {
		k := s.talk(t)
		all.Go(func() {
			for range rounds {
				k.send(waitGet)
				body := k.read()
				mu.Lock()
				if seen[body] {
					t.Errorf("%q was the answer to two", body)
				}
				seen[body] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != clients*rounds {
		t.Errorf("%d answers to %d", len(seen), clients*rounds)
	}
}

// What comes while an answer is waited for is not forgotten, wherever in that time it comes.
func TestQuickForgetsNothing(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k, other := s.talk(t), s.talk(t)
	for range 20 {
		k.send(waitGet + waitGet)
		<-s.waits
		k.send(waitGet)
		other.send(quickGet)
		other.want("quick") // so the loop has heard of what came before
		for i := range 3 {
			if i > 0 {
				<-s.waits
			}
			s.let <- strconv.Itoa(i)
			k.want(strconv.Itoa(i))
		}
	}
}

// Nor is it where answers are given at any moment, and requests come behind each other: nothing
// is answered twice either.
func TestQuickInAHurry(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits(), func(s *quickServer) { s.let = nil })
	const many = 60000
	length := len(appendOK(nil, []byte(time.Now().UTC().Format("Date: "+http.TimeFormat+"\r\n")), []byte("at once")))
	var all sync.WaitGroup
	for ahead := range 4 {
		k := s.talk(t)
		sent := make(chan struct{}, 1+ahead)
		all.Go(func() {
			defer close(sent)
			for range many {
				sent <- struct{}{}
				if _, err := io.WriteString(k.TCPConn, waitGet); err != nil {
					t.Error(err)
					return
				}
			}
		})
		all.Go(func() {
			got := make([]byte, length)
			for range sent {
				if _, err := io.ReadFull(k.in, got); err != nil || !bytes.HasSuffix(got, []byte("\r\n\r\nat once")) {
					t.Errorf("%q, %v", got, err)
					_ = k.Close()
					break
				}
			}
			for range sent { // after an error
			}
			k.send(slowGet)
			if got := k.read(); got != "served /slow " {
				t.Errorf("more was answered than asked for: %q", got)
			}
		})
	}
	all.Wait()
}
