package main

import (
	"fmt"
	"net/http"

	"github.com/dengine/dengine/internal/harness"
	"github.com/valyala/fasthttp"
)

// client speaks HTTP to one node and keeps its connections. It sends everything
// once: what fails is to be seen.
type client struct{ *fasthttp.HostClient }

// dial returns a client with at most so many connections.
func dial(t harness.T, p *harness.Process, connections int) client {
	c := &fasthttp.HostClient{
		Addr: p.HTTP, MaxConns: connections, MaxIdemponentCallAttempts: 1,
		ReadTimeout: harness.Patience, DisablePathNormalizing: true,
	}
	t.Cleanup(c.CloseIdleConnections)
	return client{c}
}

// worker sends one request after the other.
type worker struct {
	c    client
	req  *fasthttp.Request
	resp *fasthttp.Response
}

func (c client) worker() *worker {
	w := &worker{c, &fasthttp.Request{}, &fasthttp.Response{}}
	w.req.Header.SetHost(c.Addr)
	return w
}

// get reads a key, which a query may follow; with a minIndex, as Dengine-Min-Index.
// The body is good until the next request.
func (w *worker) get(key, minIndex string) (body []byte, err error) {
	w.req.Header.SetMethod(http.MethodGet)
	w.req.ResetBody()
	if minIndex != "" {
		w.req.Header.Set("Dengine-Min-Index", minIndex)
	}
	if err := w.do(key); err != nil {
		return nil, err
	}
	return w.resp.Body(), nil
}

// put writes a key and returns the index of the write.
func (w *worker) put(key, value string) (index string, err error) {
	w.req.Header.SetMethod(http.MethodPut)
	w.req.SetBodyString(value)
	if err := w.do(key); err != nil {
		return "", err
	}
	return string(w.resp.Header.Peek("Dengine-Index")), nil
}

func (w *worker) do(key string) error {
	w.req.SetRequestURI("/kv/" + key)
	if err := w.c.Do(w.req, w.resp); err != nil {
		return fmt.Errorf("dengine at %s: %w", w.c.Addr, err)
	}
	if status := w.resp.StatusCode(); status != http.StatusOK {
		return fmt.Errorf("dengine at %s: %d: %s", w.c.Addr, status, w.resp.Body())
	}
	return nil
}
