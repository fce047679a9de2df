package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Timing of the questions asked while the balancer gets ready.
const (
	probeEach    = 50 * time.Millisecond
	probeTimeout = time.Second
)

// probeKey is read to see that reads work; nobody writes it.
const probeKey = "/kv/dengine-up.probe"

// agreement says who leads, if every node is ready and follows the same leader
// in the same term; else what is missing, for people.
func agreement(nodes []view) (leader string, term uint64, missing string) {
	for _, n := range nodes {
		switch {
		case !n.running, !n.up, !n.report.Ready:
			return "", 0, n.standing()
		case n.report.Leader.ID == "":
			return "", 0, n.id + " knows no leader"
		case leader == "":
			leader, term = n.report.Leader.ID, n.report.Term
		case n.report.Leader.ID != leader || n.report.Term != term:
			return "", 0, fmt.Sprintf("%s follows %s in term %d, %s follows %s in term %d",
				nodes[0].id, leader, term, n.id, n.report.Leader.ID, n.report.Term)
		}
	}
	for _, n := range nodes {
		if n.id == leader && n.primary() {
			return leader, term, ""
		}
	}
	return "", 0, leader + " leads but does not take writes yet"
}

// standing says, for people, how a node that is not ready is doing.
func (v *view) standing() string {
	switch {
	case !v.running:
		return v.id + " does not run"
	case !v.up && v.err != nil:
		return fmt.Sprintf("%s does not answer its health port: %v", v.id, v.err)
	case !v.up:
		return v.id + " has not answered its health port yet"
	}
	s := fmt.Sprintf("%s is not ready (%s in term %d)", v.id, v.report.Role, v.report.Term)
	if v.report.Reason != "" {
		s += ": " + v.report.Reason
	}
	return s
}

// prober asks whether reads and writes get through.
type prober struct{ client *http.Client }

func newProber() *prober {
	return &prober{&http.Client{
		Timeout:   probeTimeout,
		Transport: &http.Transport{DisableKeepAlives: true}, // and no proxy from the environment
	}}
}

// serves is nil once a read and a write through addr reach a node. The write
// is one that every node refuses, so that nothing is changed.
func (p *prober) serves(ctx context.Context, addr string) error {
	status, err := p.status(ctx, http.MethodGet, "http://"+addr+probeKey, "")
	if err != nil {
		return fmt.Errorf("a read does not get through: %w", err)
	}
	if status != http.StatusOK && status != http.StatusNotFound {
		return fmt.Errorf("a read does not get through: status %d", status)
	}
	status, err = p.status(ctx, http.MethodPost, "http://"+addr+"/kv", "{}")
	if err != nil {
		return fmt.Errorf("a write does not get through: %w", err)
	}
	if status != http.StatusBadRequest {
		return fmt.Errorf("a write does not get through: status %d", status)
	}
	return nil
}

// answers is nil once a GET of url gives 200.
func (p *prober) answers(ctx context.Context, url string) error {
	status, err := p.status(ctx, http.MethodGet, url, "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d", url, status)
	}
	return err
}

func (p *prober) status(ctx context.Context, method, url, body string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}

// until asks again and again until ask gives nil; when ctx ends, it returns
// ctx's cause and what was the matter last.
func until(ctx context.Context, ask func(context.Context) error) error {
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		t := time.NewTimer(probeEach)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(context.Cause(ctx), last)
		}
	}
}
