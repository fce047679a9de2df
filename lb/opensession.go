package lb

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// step does what is due and says when to look again at the latest.
func (k *sessions) step(ctx context.Context, v *View) time.Duration {
	const idle = time.Minute // whatever changes calls
	s := k.current.Load()
	if !k.set.Load().cfg.Identities {
		if s != nil { // what is in flight still needs it: it is left to expire
			k.current.Store(nil)
			s.end()
			k.had, k.due = nil, time.Now()
		}
		k.become(sessionOff)
		return idle
	}
	if s == nil {
		k.prepare(v)
	}
	leader := v.leader()
	if leader == nil || !v.keeps(leader) {
		if s == nil {
			k.become(sessionNone)
		}
		return idle
	}
	if wait := time.Until(k.due); wait > 0 {
		return wait
	}
	if s == nil {
		k.open(ctx, v)
	} else {
		k.renew(ctx, v, s)
	}
	return time.Until(k.due)
}

// prepare says when to open a session: at once, but not in a loop where the last
// one did not last, or this leader has failed to.
func (k *sessions) prepare(v *View) {
	if k.had != nil {
		k.had, k.due = nil, time.Now()
		if time.Since(k.opened) < sessionPause {
			k.retry(sessionPause)
		}
	}
	if v.reign != k.reign {
		k.reign, k.pause, k.due = v.reign, 0, time.Now()
	}
}

// open opens a session. A failure may leave one behind that nobody uses; it
// expires.
func (k *sessions) open(ctx context.Context, v *View) {
	k.mu.Lock()
	state := k.state
	k.mu.Unlock()
	if state != sessionRefused {
		k.become(sessionOpening)
	}
	r, err := k.registry.ask(ctx, v, "POST "+sessionPath, "Dengine-Session: new\r\n", time.Now().Add(sessionAsk))
	var s *session
	if err == nil && r.status == fasthttp.StatusOK {
		s, err = readSession(r.body)
	}
	switch {
	case s != nil:
		k.had, k.opened = s, time.Now()
		k.due = k.opened.Add(s.timeout / 3)
		k.current.Store(s)
		k.become(sessionOpen)
		k.log.Info("session opened", zap.Duration("timeout", s.timeout), zap.Uint64("window", s.size))
	case err != nil || r.status == fasthttp.StatusServiceUnavailable && r.code() != "identities_full":
		k.log.Debug("cannot open a session yet", zap.Int("status", r.status), zap.Error(err))
		k.retry(sessionPause)
	default:
		if state != sessionRefused {
			k.log.Warn("the cluster opens no session: writes go without a number, and in doubt they are not sent again",
				zap.Int("status", r.status), zap.String("code", r.code()))
		}
		k.become(sessionRefused)
		k.due = time.Now().Add(sessionRefusedPause)
	}
}

// renew keeps the session alive and says which answers the cluster may forget.
func (k *sessions) renew(ctx context.Context, v *View, s *session) {
	fields := "Dengine-Session: " + s.id + "\r\nDengine-Acked: " + strconv.FormatUint(s.upTo(), 10) + "\r\n"
	r, err := k.registry.ask(ctx, v, "PUT "+sessionPath, fields, time.Now().Add(min(sessionAsk, s.timeout/3)))
	switch {
	case err == nil && r.status == fasthttp.StatusOK:
		k.pause = 0
		k.due = time.Now().Add(s.timeout / 3)
	case err == nil && r.status == fasthttp.StatusConflict && r.code() == codeSessionUnknown:
		k.lost(s)
		k.due = time.Now()
	default:
		k.log.Debug("cannot renew the session yet", zap.Int("status", r.status), zap.Error(err))
		k.retry(min(sessionPause, s.timeout/3))
	}
}

// retry makes the next request due after a pause that doubles.
func (k *sessions) retry(most time.Duration) {
	k.pause = min(max(2*k.pause, sessionRetry), most)
	k.due = time.Now().Add(k.pause)
}

// close gives the session back; run has ended. It is a courtesy: what is not
// given back expires.
func (k *sessions) close() {
	s, v := k.current.Swap(nil), k.registry.view.Load()
	if s == nil || v.leader() == nil || !v.keeps(v.leader()) {
		return
	}
	r, err := k.registry.ask(context.Background(), v, "DELETE "+sessionPath, "Dengine-Session: "+s.id+"\r\n", time.Now().Add(sessionLastAsk))
	if err != nil || r.status != fasthttp.StatusOK {
		k.log.Debug("the session is left to expire", zap.Int("status", r.status), zap.Error(err))
	}
}

// readSession reads what a node says of a new session.
func readSession(body []byte) (*session, error) {
	var a struct {
		Session   string `json:"session"`
		Window    uint64 `json:"window"`
		TimeoutMS int64  `json:"timeout_ms"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("read the new session: %w", err)
	}
	if id, err := hex.DecodeString(a.Session); err != nil || len(id) != 16 {
		return nil, errors.New("read the new session: its id is not 32 hexadecimal digits")
	}
	timeout := time.Duration(min(a.TimeoutMS, longestSession.Milliseconds())) * time.Millisecond
	if a.Window == 0 || timeout < time.Millisecond {
		return nil, errors.New("read the new session: window and timeout must be positive")
	}
	return &session{id: a.Session, timeout: timeout, window: window{size: min(a.Window, maxWindow)}}, nil
}
