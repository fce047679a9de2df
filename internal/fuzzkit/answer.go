package fuzzkit

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// Answer is one HTTP answer, and the request that it is to.
type Answer struct {
	To     Request
	Status int
	Header http.Header
	Body   []byte
}

// ReadAnswer reads the answer to a request with this method, past interim ones,
// with the parser of the standard library. Where the body breaks off, the answer
// has what there is of it beside the error.
func ReadAnswer(r *bufio.Reader, method string) (Answer, error) {
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return Answer{}, err
		}
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
	}
}

// Answers reads what a server answered to in: one valid answer after the other, to
// one request after the other, and nothing else. It returns those to requests that
// ReadRequest understands. Of the first one to something else only the head is
// read, since it may be to a HEAD, and nothing behind it.
func Answers(t testing.TB, in, out []byte) []Answer {
	t.Helper()
	sent, got := bufio.NewReader(bytes.NewReader(in)), bufio.NewReader(bytes.NewReader(out))
	var all []Answer
	for {
		if _, err := got.Peek(1); err != nil {
			return all
		}
		q, errSent := ReadRequest(sent)
		if errSent != nil {
			q.Method = http.MethodHead
		}
		a, err := ReadAnswer(got, q.Method)
		switch {
		case err != nil:
			t.Errorf("%q: answer %d of %q: %v", in, len(all)+1, out, err)
			return all
		case errSent != nil:
			return all
		}
		a.To = q
		all = append(all, a)
		if q.Method == http.MethodHead && a.Status >= 400 {
			return all // a server that could not read the head, and closes, may have answered with a body
		}
	}
}
