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
	all := k.all()
	if !k.settings.Load().cfg.Identities {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, s := range all { // what is in flight still needs it: it is left to expire
			s.end()
			k.opened, k.first.due = time.Time{}, time.Now()
		}
		k.set(nil)
		k.turn(sessionOff)
		return idle
	}
	if len(all) == 0 {
		k.prepare(v)
	}
	leader := v.leader()
	if leader == nil || !v.keeps(leader) {
		if len(all) == 0 {
			k.become(sessionNone)
		}
		return idle
	}
	if len(all) == 0 {
		if time.Until(k.first.due) <= 0 {
			k.openFirst(ctx, v)
		}
		return time.Until(k.first.due)
	}
	wait := idle
	for _, s := range all {
		if time.Until(s.renewal.due) <= 0 {
			k.renew(ctx, v, s)
		}
		wait = min(wait, time.Until(s.renewal.due))
	}
	if k.wants.Load() && len(all) < sessionsMost {
		if time.Until(k.more.due) <= 0 {
			k.openMore(ctx, v)
		}
		wait = min(wait, time.Until(k.more.due))
	}
	return wait
}

// prepare says when to open a session where there is none: at once, but not in a loop
// where the last one did not last, or this leader has failed to.
func (k *sessions) prepare(v *View) {
	if !k.opened.IsZero() {
		if time.Since(k.opened) < sessionPause {
			k.first.retry(sessionPause)
		} else {
			k.first = schedule{due: time.Now()}
		}
		k.opened = time.Time{}
	}
	if v.reign != k.reign {
		k.reign, k.first = v.reign, schedule{due: time.Now()}
	}
}

// openFirst opens a session where there is none.
func (k *sessions) openFirst(ctx context.Context, v *View) {
	k.mu.Lock()
	state := k.state
	k.mu.Unlock()
	if state != sessionRefused {
		k.become(sessionOpening)
	}
	s, r, err := k.open(ctx, v)
	switch {
	case s != nil:
		k.opened = time.Now()
		k.add(s)
		k.log.Info("session opened", zap.Duration("timeout", s.timeout), zap.Uint64("window", s.size))
	case err != nil || r.status == fasthttp.StatusServiceUnavailable && r.code() != "identities_full":
		k.log.Debug("cannot open a session yet", zap.Int("status", r.status), zap.Error(err))
		k.first.retry(sessionPause)
	default:
		if state != sessionRefused {
			k.log.Warn("the cluster opens no session: writes go without a number, and in doubt they are not sent again",
				zap.Int("status", r.status), zap.String("code", r.code()))
		}
		k.become(sessionRefused)
		k.first.due = time.Now().Add(sessionRefusedPause)
	}
}

// openMore opens one more session. Where that cannot be, writes go on waiting for numbers of
// those that there are.
func (k *sessions) openMore(ctx context.Context, v *View) {
	s, r, err := k.open(ctx, v)
	if s == nil {
		k.log.Debug("cannot open another session", zap.Int("status", r.status), zap.Error(err))
		k.more.due = time.Now().Add(sessionRefusedPause)
		return
	}
	k.wants.Store(false)
	k.add(s)
	k.log.Info("another session opened: numbers were short", zap.Int("sessions", len(k.all())))
}

// open asks for a session. A failure may leave one behind that nobody uses; it expires.
func (k *sessions) open(ctx context.Context, v *View) (s *session, r reply, err error) {
	r, err = k.registry.ask(ctx, v, "POST "+sessionPath, "Dengine-Session: new\r\n", time.Now().Add(sessionAsk))
	if err == nil && r.status == fasthttp.StatusOK {
		s, err = readSession(r.body)
	}
	return s, r, err
}

// renew keeps the session alive and says which answers the cluster may forget.
func (k *sessions) renew(ctx context.Context, v *View, s *session) {
	fields := "Dengine-Session: " + s.id + "\r\nDengine-Acked: " + strconv.FormatUint(s.upTo(), 10) + "\r\n"
	r, err := k.registry.ask(ctx, v, "PUT "+sessionPath, fields, time.Now().Add(min(sessionAsk, s.timeout/3)))
	switch {
	case err == nil && r.status == fasthttp.StatusOK:
		s.renewal = schedule{due: time.Now().Add(s.timeout / 3)}
	case err == nil && r.status == fasthttp.StatusConflict && r.code() == codeSessionUnknown:
		k.lost(s)
		s.renewal.due = time.Now() // to look again at those that are left
	default:
		k.log.Debug("cannot renew the session yet", zap.Int("status", r.status), zap.Error(err))
		s.renewal.retry(min(sessionPause, s.timeout/3))
	}
}

// close gives the sessions back; run has ended. It is a courtesy: what is not
// given back expires.
func (k *sessions) close() {
	all, v, until := k.all(), k.registry.view.Load(), time.Now().Add(sessionLastAsk)
	k.set(nil)
	if v.leader() == nil || !v.keeps(v.leader()) {
		return
	}
	for _, s := range all {
		r, err := k.registry.ask(context.Background(), v, "DELETE "+sessionPath, "Dengine-Session: "+s.id+"\r\n", until)
		if err != nil || r.status != fasthttp.StatusOK {
			k.log.Debug("a session is left to expire", zap.Int("status", r.status), zap.Error(err))
		}
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
	return &session{
		id: a.Session, timeout: timeout, window: window{size: min(a.Window, maxWindow)},
		renewal: schedule{due: time.Now().Add(timeout / 3)},
	}, nil
}
