package lb

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// step does what is due and says when to look again at the latest.
func (k *sessions) step(ctx context.Context, v *View) time.Duration {
	const idle = time.Minute // whatever changes calls
	if !k.settings.Load().cfg.Identities {
		k.off()
		return idle
	}
	if len(k.all()) == 0 {
		k.prepare()
	}
	if v.reign != k.reign {
		k.reign, k.first, k.more = v.reign, schedule{due: time.Now()}, schedule{}
	}
	leader := v.leader()
	switch {
	case leader != nil && v.keeps(leader):
	case len(k.all()) == 0:
		k.become(sessionNone)
		k.first.due = time.Now()
		return idle
	default:
		return idle
	}
	all := k.all()
	if len(all) == 0 {
		if time.Until(k.first.due) <= 0 {
			k.openFirst(ctx, v)
		}
		return time.Until(k.first.due)
	}
	var asked sync.WaitGroup // beside each other: none may expire while another takes its time
	for _, s := range all {
		if time.Until(s.renewal.due) <= 0 {
			asked.Go(func() { k.renew(ctx, v, s) })
		}
	}
	if k.wants() && time.Until(k.more.due) <= 0 {
		asked.Go(func() { k.openMore(ctx, v, min(sessionAsk, all[0].timeout/3)) })
	}
	asked.Wait()
	return k.next(idle)
}

// next is how long it is until something is due.
func (k *sessions) next(idle time.Duration) time.Duration {
	all, wait := k.all(), idle
	for _, s := range all {
		wait = min(wait, time.Until(s.renewal.due))
	}
	switch {
	case len(all) == 0:
		return 0
	case k.wants():
		wait = min(wait, time.Until(k.more.due))
	}
	return wait
}

// wants says whether one more session would help.
func (k *sessions) wants() bool { return len(k.all()) < sessionsMost && k.awaited() }

// off ends all sessions. What is in flight still needs them: they are left to expire.
func (k *sessions) off() {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.all()
	k.set(nil)
	for _, s := range all {
		s.end()
	}
	k.turn(sessionOff)
	k.opened, k.first.due = time.Time{}, time.Now()
}

// prepare says when to open a session where there is none: at once, but not in a loop
// where the last one did not last.
func (k *sessions) prepare() {
	switch {
	case k.opened.IsZero():
		return
	case time.Since(k.opened) < sessionPause:
		k.first.retry(sessionPause)
	default:
		k.first = schedule{due: time.Now()}
	}
	k.opened = time.Time{}
}

// openFirst opens a session where there is none.
func (k *sessions) openFirst(ctx context.Context, v *View) {
	k.mu.Lock()
	state := k.state
	k.mu.Unlock()
	if state != sessionRefused {
		k.become(sessionOpening)
	}
	s, r, err := k.open(ctx, v, sessionAsk)
	switch {
	case s != nil:
		k.opened = time.Now()
		k.add(s)
		k.log.Info("session opened", zap.Duration("timeout", s.timeout), zap.Uint64("window", s.size))
	case err == nil && r.refuses():
		if state != sessionRefused {
			k.log.Warn("the cluster opens no session: writes go without a number, and in doubt they are not sent again",
				zap.Int("status", r.status), zap.String("code", r.code()))
		}
		k.become(sessionRefused)
		k.first.due = time.Now().Add(sessionRefusedPause)
	default:
		k.log.Debug("cannot open a session yet", zap.Int("status", r.status), zap.Error(err))
		k.first.retry(sessionPause)
	}
}

// openMore opens one more session. Where that cannot be, writes go on waiting for numbers of
// those that there are.
func (k *sessions) openMore(ctx context.Context, v *View, most time.Duration) {
	s, r, err := k.open(ctx, v, most)
	switch {
	case s != nil:
		k.more = schedule{}
		k.add(s)
		k.log.Info("another session opened: numbers were short", zap.Int("sessions", len(k.all())))
	case err == nil && r.refuses():
		k.log.Debug("the cluster opens no more sessions", zap.Int("status", r.status), zap.String("code", r.code()))
		k.more.due = time.Now().Add(sessionRefusedPause)
	default:
		k.log.Debug("cannot open another session yet", zap.Int("status", r.status), zap.Error(err))
		k.more.retry(sessionPause)
	}
}

// refuses says whether a cluster that was asked for a session has no room for it, or does not
// know of sessions after all.
func (r reply) refuses() bool {
	return r.status > fasthttp.StatusOK && (r.status != fasthttp.StatusServiceUnavailable || r.code() == "identities_full")
}

// open asks for a session. A failure may leave one behind that nobody uses; it expires.
func (k *sessions) open(ctx context.Context, v *View, most time.Duration) (s *session, r reply, err error) {
	r, err = k.registry.ask(ctx, v, "POST "+sessionPath, "Dengine-Session: new\r\n", time.Now().Add(most))
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
	var asked sync.WaitGroup
	for _, s := range all {
		asked.Go(func() {
			r, err := k.registry.ask(context.Background(), v, "DELETE "+sessionPath, "Dengine-Session: "+s.id+"\r\n", until)
			if err != nil || r.status != fasthttp.StatusOK {
				k.log.Debug("a session is left to expire", zap.Int("status", r.status), zap.Error(err))
			}
		})
	}
	asked.Wait()
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
