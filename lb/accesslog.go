package lb

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// record is what is counted and logged of one request.
type record struct {
	class    class
	status   int
	bytes    int64 // of the answer's body
	start    time.Time
	held     time.Duration
	attempts int
	backend  *backend
	note     string // "broken": the answer broke off under way

	access               *accessLog // nil: this one is not logged
	client, method, path string
}

// accessLog writes one JSON line for each request, or for one of several.
type accessLog struct {
	target string
	log    *zap.Logger
	sample uint64
	seen   atomic.Uint64
	file   *logFile // nil: not a file
}

// openAccessLog opens what cfg names; nil where it is off. A file that old has
// open already is opened anew in its place, so that it can be rotated.
func openAccessLog(cfg Config, old *accessLog) (*accessLog, error) {
	if cfg.AccessLog == AccessLogOff {
		return nil, nil
	}
	a := &accessLog{target: cfg.AccessLog, sample: uint64(cfg.AccessLogSample)}
	var out zapcore.WriteSyncer = zapcore.Lock(os.Stdout)
	if a.target != AccessLogStdout {
		f, err := os.OpenFile(a.target, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("open access log: %w", err)
		}
		if old != nil && old.target == a.target {
			a.file = old.file
			a.file.replace(f)
		} else {
			a.file = &logFile{f: f}
		}
		out = a.file
	}
	enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "time", EncodeTime: zapcore.RFC3339NanoTimeEncoder, EncodeDuration: zapcore.SecondsDurationEncoder,
		LineEnding: "\n",
	})
	a.log = zap.New(zapcore.NewCore(enc, out, zapcore.InfoLevel))
	return a, nil
}

// closeUnless closes the file, except where next goes on with it.
func (a *accessLog) closeUnless(next *accessLog) {
	if a != nil && a.file != nil && (next == nil || next.file != a.file) {
		a.file.replace(nil)
	}
}

// logFile is a file that can be replaced while others write to it. What comes
// after its last replacement by nothing is dropped.
type logFile struct {
	mu sync.Mutex
	f  *os.File
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return len(p), nil
	}
	return l.f.Write(p)
}

// Sync does nothing: an access log need not survive the loss of power.
func (l *logFile) Sync() error { return nil }

func (l *logFile) replace(f *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_ = l.f.Close()
	}
	l.f = f
}

// picks says whether this request is one to log: a failed one always is.
func (a *accessLog) picks(status int) bool {
	return a.seen.Add(1)%a.sample == 0 || status >= 500 || status == statusClientLeft
}

func (a *accessLog) write(r *record) {
	name := ""
	if r.backend != nil {
		name = r.backend.name()
	}
	a.log.Info("",
		zap.String("client", r.client), zap.String("method", r.method), zap.String("path", r.path),
		zap.Int("status", r.status), zap.Int64("bytes", r.bytes), zap.Duration("duration", time.Since(r.start)),
		zap.String("class", r.class.String()), zap.String("backend", name), zap.Int("attempts", r.attempts),
		zap.Duration("held", r.held), zap.String("note", r.note))
}

// record begins the record of an exchange that has been answered.
func (b *Balancer) record(x *exchange, status int) record {
	r := record{class: x.class, status: status, start: x.start, held: x.held, attempts: x.attempts, backend: x.backend}
	if log := x.set.access; log != nil && log.picks(status) {
		r.access = log
		r.client = x.ctx.RemoteAddr().String()
		r.method = string(x.ctx.Method())
		// Without the query, which may hold what must not be in a log.
		path, _, _ := bytes.Cut(x.ctx.RequestURI(), []byte("?"))
		r.path = string(path)
	}
	return r
}

// finish counts a request whose answer is complete, and logs it.
func (b *Balancer) finish(r record) {
	b.stats.count(r.class, r.status, time.Since(r.start))
	b.inFlight.Add(-1)
	if r.access != nil {
		r.access.write(&r)
	}
}
