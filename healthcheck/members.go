package healthcheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// PathMembers is the path of the members on the health port: GET lists them, POST
// adds a learner, and DELETE of PathMembers/{id} removes one. Only the leader
// changes them; every other node answers 503 not_leader and says where that is.
const PathMembers = "/members"

// CodeNotAMember is the code of the 404 for a member that is not there.
const CodeNotAMember = "not_a_member"

// MemberState is one member as PathMembers shows it.
type MemberState struct {
	Member
	// CaughtUp says that the member's log is hardly behind the leader's. It is nil
	// where another node than the leader answers, which cannot know.
	CaughtUp *bool `json:"caught_up,omitempty"`
}

// Membership is the answer to each request to PathMembers that is not refused.
type Membership struct {
	Node    string        `json:"node"` // who answers
	Term    uint64        `json:"term"`
	Leader  Member        `json:"leader,omitzero"`
	Members []MemberState `json:"members"`
}

// MembersError is an answer that refuses.
type MembersError struct {
	Status  int    `json:"-"`     // HTTP status
	Code    string `json:"error"` // for programs
	Message string `json:"message"`
	Leader  Member `json:"leader,omitzero"` // where to ask instead
}

// Error is the message for people.
func (e *MembersError) Error() string { return e.Message }

// How the members' answers are read and leaders are looked for.
const (
	membersPause    = 200 * time.Millisecond // before the leader is looked for again
	maxMembersBytes = 1 << 20
)

// ListMembers lists the members as the leader has them, or as the node at addr
// (host:port of its health port) has them where the leader does not answer.
func ListMembers(ctx context.Context, addr string) (Membership, error) {
	m, err := askMembers(ctx, http.MethodGet, addr, PathMembers)
	if err != nil || m.Leader.ID == m.Node || m.Leader.Health == "" {
		return m, err
	}
	if led, err := askMembers(ctx, http.MethodGet, m.Leader.Health, PathMembers); err == nil {
		return led, nil
	}
	return m, nil
}

// RemoveMember removes a member. addr is any node's health port; where another one
// leads, that one is asked, and where none does it is looked for until ctx ends.
// The error is a *MembersError where a node has refused.
func RemoveMember(ctx context.Context, addr, id string) (Membership, error) {
	tick := time.NewTicker(membersPause)
	defer tick.Stop()
	at := addr
	for {
		m, err := askMembers(ctx, http.MethodDelete, at, PathMembers+"/"+url.PathEscape(id))
		var refused *MembersError
		switch answered := errors.As(err, &refused); {
		case err == nil, !answered && at == addr, answered && refused.Status != http.StatusServiceUnavailable:
			return m, err
		case answered && at == addr && refused.Leader.Health != "" && refused.Leader.Health != addr:
			at = refused.Leader.Health
			continue
		}
		at = addr // whoever was named leads no more
		select {
		case <-tick.C:
		case <-ctx.Done():
			return m, fmt.Errorf("no leader has removed %s in time: %w", id, err)
		}
	}
}

// askMembers sends one request to one node.
func askMembers(ctx context.Context, method, addr, path string) (m Membership, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return m, fmt.Errorf("address %q: want host:port of a health port: %w", addr, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy from the environment
	resp, err := client.Do(req)
	if err != nil {
		return m, fmt.Errorf("ask the node at %s for the members: %w", addr, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMembersBytes))
	if err != nil {
		return m, fmt.Errorf("read the members that the node at %s answers: %w", addr, err)
	}
	if resp.StatusCode != http.StatusOK {
		refused := &MembersError{Status: resp.StatusCode}
		if err := json.Unmarshal(body, refused); err != nil || refused.Code == "" {
			return m, fmt.Errorf("%s answers %s: it is not the health port of a node", addr, resp.Status)
		}
		return m, refused
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Node == "" {
		return m, fmt.Errorf("%s answers something else than members: it is not the health port of a node", addr)
	}
	return m, nil
}
